/**
 * What is said to a device before its first message: the greeting, EHLO, and STARTTLS (RFC 3207) with the gateway's certificate.
 * Encryption is not proof of who it is; that stays its network.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { HTTP, isUnreadable, NO_WEB_SERVER } from '../protocol/sign-in.ts';
import { commandWords } from '../protocol/smtp/command-line.ts';
import { receiveExtensions } from '../protocol/smtp/receive.ts';
import type { Conn } from '../protocol/wire/conn.ts';

export interface GreetingOptions {
  readonly hostname: string;
  readonly maxOctets: number;
  readonly lineOctets: number;
  /** Does the server's handshake. */
  readonly secure: (plain: Socket) => Promise<TLSSocket>;
  /** `required`: nothing is taken in plain text. `never`: old devices use it whenever it is offered, and fail. */
  readonly startTls: 'offered' | 'required' | 'never';
  readonly signal: AbortSignal;
}

/** A device that sends this many commands without a message is something else. */
const MAX_COMMANDS = 50;

/**
 * Resolves once messages may come: `ready` after STARTTLS, or in plain text with the first command of a transaction put back; or
 * `left`, with everything said.
 * @throws wire.*, tls.failed, the signal's reason
 */
export async function greetDevice(conn: Conn, options: GreetingOptions): Promise<'ready' | 'left'> {
  const { hostname, lineOctets, secure, signal, startTls } = options;
  await conn.write(`220 ${hostname} ESMTP Postern ready\r\n`);
  if (conn.encrypted) return 'ready';
  for (let commands = 0; commands < MAX_COMMANDS; commands++) {
    const line = await nextLine(conn, lineOctets, signal);
    if (typeof line !== 'string') return 'left';
    if (HTTP.test(line)) {
      conn.end(`${NO_WEB_SERVER}\r\n`);
      return 'left';
    }
    const { verb, argument } = commandWords(line);
    switch (verb) {
      case 'EHLO':
        await conn.write(
          replyLines([
            hostname,
            ...receiveExtensions(options.maxOctets),
            ...(startTls === 'never' ? [] : ['STARTTLS']),
          ]),
        );
        break;
      case 'HELO':
        await conn.write(`250 ${hostname}\r\n`);
        break;
      case 'STARTTLS':
        if (startTls === 'never') {
          await conn.write('502 5.5.1 STARTTLS is not available here\r\n');
          break;
        }
        if (argument !== '') {
          await conn.write('501 5.5.4 STARTTLS takes no parameters\r\n');
          break;
        }
        // Refused before the 220, so that nothing of it can be taken for an encrypted command (CVE-2011-0411).
        if (!conn.drained) {
          conn.end('554 5.5.1 plain text was sent together with STARTTLS\r\n');
          return 'left';
        }
        await conn.write('220 2.0.0 begin TLS negotiation now\r\n');
        await conn.upgrade(secure);
        return 'ready';
      case 'NOOP':
      case 'RSET':
        await conn.write('250 2.0.0 OK\r\n');
        break;
      case 'QUIT':
        conn.end(`221 2.0.0 ${hostname} see you\r\n`);
        return 'left';
      default:
        if (startTls !== 'required') {
          conn.putBack(`${line}\r\n`);
          return 'ready';
        }
        await conn.write('530 5.7.0 use STARTTLS first\r\n');
    }
  }
  conn.end(`421 4.7.0 ${hostname} too many commands\r\n`);
  return 'left';
}

/** Undefined when the device is gone, or was told that it cannot be read. */
async function nextLine(conn: Conn, limit: number, signal: AbortSignal): Promise<string | undefined> {
  try {
    const line = await conn.line(limit, signal);
    if (line === undefined) conn.end();
    return line?.toString('latin1');
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    conn.end(`500 5.5.2 ${error.message}\r\n`);
    return undefined;
  }
}

function replyLines(lines: readonly string[]): string {
  return lines.map((line, at) => `250${at === lines.length - 1 ? ' ' : '-'}${line}\r\n`).join('');
}
