/** POP3 sign-in with a bearer token, client side: RFC 1939, RFC 2449, RFC 2595, RFC 5034. */
import {
  BearerExchange,
  type BearerSignedIn,
  type BearerSignInOptions,
  hungUp,
  mechanismsIn,
  REPLY_OCTETS,
  stripped,
  turnedAway,
  unexpected,
} from '../bearer-sign-in.ts';
import { protocolError } from '../errors.ts';
import type { Conn } from '../wire/conn.ts';

/**
 * Reads the greeting, turns to TLS where asked, and signs in with the two-line form: Exchange breaks on the other.
 * @throws sasl.refused, sasl.unavailable, sasl.no-mechanism, tls.stripped, wire.*, or the signal's reason
 */
export async function signIn(conn: Conn, options: BearerSignInOptions): Promise<BearerSignedIn> {
  const { greeting, capabilities } = await open(conn, options);
  const exchange = new BearerExchange(options, mechanismsIn(capabilities, /^SASL\b/i));
  exchange.direct = false;
  let line = await ask(conn, options, `AUTH ${exchange.name}`);
  while (line.startsWith('+') && !line.startsWith('+OK'))
    line = await ask(conn, options, exchange.answer(line.slice(1)));
  if (line.startsWith('+OK')) return { mechanism: exchange.name, greeting, capabilities };
  if (!line.startsWith('-ERR')) throw unexpected(options.host, line);
  // RFC 3206 §4, RFC 2449 §8.1.1
  throw exchange.refusal(line, /^-ERR \[(?:SYS\/TEMP|IN-USE|LOGIN-DELAY)\]/i.test(line));
}

/** What anybody may know of the server: its CAPA lines, after TLS. Ends the session. @throws as {@link signIn} */
export async function probeExtensions(conn: Conn, options: Reach): Promise<readonly string[]> {
  const { capabilities } = await open(conn, options);
  await conn.write('QUIT\r\n');
  return capabilities;
}

type Reach = Pick<BearerSignInOptions, 'tls' | 'secure' | 'signal' | 'host'>;

async function open(conn: Conn, options: Reach): Promise<{ greeting: string; capabilities: readonly string[] }> {
  const greeting = await answer(conn, options);
  if (!greeting.startsWith('+OK')) {
    if (/^-ERR \[SYS\/PERM\]/i.test(greeting)) throw turnedAway(options.host, greeting); // RFC 3206 §4
    throw greeting.startsWith('-ERR') ? hungUp(options.host, greeting) : unexpected(options.host, greeting);
  }
  if (options.tls === 'starttls') {
    const before = await capa(conn, options);
    if (!before.some((line) => /^STLS\b/i.test(line)) || options.secure === undefined) throw stripped(options.host);
    if (!(await ask(conn, options, 'STLS')).startsWith('+OK')) throw stripped(options.host);
    await conn.upgrade(options.secure);
  }
  return { greeting, capabilities: await capa(conn, options) };
}

async function capa(conn: Conn, options: Reach): Promise<readonly string[]> {
  const status = await ask(conn, options, 'CAPA');
  if (!status.startsWith('+OK')) return [];
  const lines: string[] = [];
  for (;;) {
    const line = await answer(conn, options);
    if (line === '.') return lines;
    if (lines.length >= MAX_LINES) throw unexpected(options.host, 'an endless list of capabilities');
    lines.push(line.startsWith('.') ? line.slice(1) : line);
  }
}

/** The longest CAPA seen has 16 lines. */
const MAX_LINES = 200;

async function ask(conn: Conn, options: Reach, line: string): Promise<string> {
  await conn.writeInPieces(`${line}\r\n`);
  return answer(conn, options);
}

async function answer(conn: Conn, options: Reach): Promise<string> {
  const line = await conn.line(REPLY_OCTETS, options.signal);
  if (line === undefined) throw protocolError('wire.closed', `${options.host} closed the connection`);
  return line.toString('utf8');
}
