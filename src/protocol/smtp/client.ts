/** SMTP sign-in with a bearer token, client side: RFC 5321 §4.1–4.2, RFC 3207, RFC 4954. */
import {
  BearerExchange,
  type BearerSignedIn,
  type BearerSignInOptions,
  hungUp,
  mechanismsIn,
  refusal,
  stripped,
  turnedAway,
  unexpected,
} from '../bearer-sign-in.ts';
import type { Secret } from '../../base/secret.ts';
import { protocolError } from '../errors.ts';
import { encodeInitial, encodeResponse } from '../sasl/line.ts';
import { plainClient } from '../sasl/plain.ts';
import type { Conn } from '../wire/conn.ts';
import { readReply, type ReplyLines } from './reply.ts';

/**
 * Reads the greeting, says EHLO, turns to TLS where asked, and signs in.
 * @throws sasl.refused, sasl.unavailable, sasl.no-mechanism, tls.stripped, wire.*, or the signal's reason
 */
export async function signIn(conn: Conn, options: BearerSignInOptions): Promise<BearerSignedIn> {
  const { greeting, extensions } = await open(conn, options);
  const exchange = new BearerExchange(options, mechanismsIn(extensions, /^AUTH /i));
  // RFC 4954 §4: a command with an initial response must fit 512 octets, CRLF included; Postfix cuts longer ones.
  const command = `AUTH ${exchange.name} ${exchange.initial}`;
  exchange.direct = command.length + 2 <= 512;
  let reply = await ask(conn, options, exchange.direct ? command : `AUTH ${exchange.name}`);
  while (reply.code === 334) reply = await ask(conn, options, exchange.answer(reply.lines[0]!));
  if (reply.code === 235) return { mechanism: exchange.name, greeting, capabilities: extensions };
  throw exchange.refusal(reply.text, isTemporary(reply));
}

/** RFC 4954 §6: 4yz is temporary, 454 above all. */
function isTemporary({ code }: ReplyLines): boolean {
  return code >= 400 && code < 500;
}

/**
 * The same with a user name and a password (PLAIN, else LOGIN), or without where none are given: another server that relays.
 * @returns its EHLO lines. @throws sasl.refused, sasl.unavailable, sasl.no-mechanism, tls.stripped, wire.*, or the signal's reason
 */
export async function signInWithPassword(
  conn: Conn,
  options: Reach & { readonly user?: string | undefined; readonly password?: Secret | undefined },
): Promise<readonly string[]> {
  const { host, password, user } = options;
  const { extensions } = await open(conn, options);
  if (user === undefined || password === undefined) return extensions;
  const offered = mechanismsIn(extensions, /^AUTH[ =]/i).map((name) => name.toUpperCase());
  let reply: ReplyLines;
  if (offered.includes('PLAIN')) {
    const { initial } = plainClient({ user, password });
    reply = await ask(conn, options, `AUTH PLAIN ${encodeInitial(initial!)}`);
  } else if (offered.includes('LOGIN')) {
    // draft-murchison-sasl-login: it asks for the name, then for the password, in words that do not count.
    reply = await ask(conn, options, 'AUTH LOGIN');
    if (reply.code === 334) reply = await ask(conn, options, encodeResponse(Buffer.from(user)));
    if (reply.code === 334) reply = await ask(conn, options, encodeResponse(Buffer.from(password.reveal())));
  } else {
    throw protocolError('sasl.no-mechanism', `${host} offers neither PLAIN nor LOGIN`, {
      detail: { offered },
      hint: 'give the relay’s submission port, where it asks for a password; behind TLS if it must be so',
    });
  }
  if (reply.code === 235) return extensions;
  throw refusal(host, reply.text, isTemporary(reply));
}

/** What anybody may know of the server: its EHLO lines, after TLS. Ends the session. @throws as {@link signIn} */
export async function probeExtensions(conn: Conn, options: Reach): Promise<readonly string[]> {
  const { extensions } = await open(conn, options);
  await conn.write('QUIT\r\n');
  return extensions;
}

type Reach = Pick<BearerSignInOptions, 'tls' | 'secure' | 'signal' | 'host' | 'ehloName'>;

async function open(conn: Conn, options: Reach): Promise<{ greeting: string; extensions: readonly string[] }> {
  const greeting = await readReply(conn, options.host, options.signal);
  // RFC 5321 §3.1: 554 is a server that takes no mail from us, 4yz one that is not ready.
  if (greeting.code >= 500) throw turnedAway(options.host, greeting.text);
  if (greeting.code >= 400) throw hungUp(options.host, greeting.text);
  if (greeting.code !== 220) throw unexpected(options.host, greeting.text);
  let extensions = await ehlo(conn, options);
  if (options.tls === 'starttls') {
    if (!extensions.some((line) => /^STARTTLS\b/i.test(line)) || options.secure === undefined)
      throw stripped(options.host);
    const reply = await ask(conn, options, 'STARTTLS');
    if (reply.code !== 220) throw stripped(options.host);
    await conn.upgrade(options.secure);
    extensions = await ehlo(conn, options); // RFC 3207 §4.2: what was said before TLS does not count
  }
  return { greeting: greeting.text, extensions };
}

async function ehlo(conn: Conn, options: Reach): Promise<readonly string[]> {
  const reply = await ask(conn, options, `EHLO ${options.ehloName ?? '[127.0.0.1]'}`);
  if (isTemporary(reply)) throw hungUp(options.host, reply.text);
  if (reply.code !== 250) throw unexpected(options.host, reply.text);
  return reply.lines.slice(1);
}

async function ask(conn: Conn, options: Reach, line: string): Promise<ReplyLines> {
  await conn.writeInPieces(`${line}\r\n`);
  return readReply(conn, options.host, options.signal);
}
