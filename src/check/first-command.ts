/**
 * The first command after sign-in. Exchange says OK to a token that may not open the mailbox and disconnects at the next
 * command, so a sign-in alone proves nothing.
 */
import { isError, type PosternError } from '../base/error.ts';
import { findRow } from '../oauth/catalogue/diagnose.ts';
import { evidenceIn } from '../oauth/catalogue/evidence.ts';
import { protocolError } from '../protocol/errors.ts';
import { type CommandResult, ImapSession } from '../protocol/imap/session.ts';
import { status } from '../protocol/imap/verb/status.ts';
import { readReply } from '../protocol/smtp/reply.ts';
import type { Conn } from '../protocol/wire/conn.ts';
import { checkError } from './errors.ts';
import type { Found } from './step.ts';

/** The longest reply that is read here is a STAT line. */
const REPLY_OCTETS = 8192;

export interface Session {
  readonly conn: Conn;
  readonly host: string;
  readonly signal: AbortSignal;
}

/** Looks into the inbox without touching it. @throws check.mailbox-closed, check.mailbox-busy, wire.* */
export function lookInside(protocol: 'imap' | 'pop3', session: Session): Promise<Found> {
  return protocol === 'imap' ? imapStatus(session) : pop3Stat(session);
}

async function imapStatus({ conn, host, signal }: Session): Promise<Found> {
  const imap = new ImapSession(conn, { host });
  const { values } = await asked(host, status(imap, 'INBOX', ['MESSAGES', 'UNSEEN'], { signal }));
  const messages = values.get('MESSAGES');
  return { says: `the inbox opens: ${messages ?? 'an unknown number of'} messages`, facts: { messages } };
}

/** A command that has to be answered with OK. @throws check.mailbox-closed, check.mailbox-busy, wire.* */
export async function asked<T extends CommandResult>(host: string, running: Promise<T>): Promise<T> {
  try {
    const result = await running;
    if (result.status === 'OK') return result;
    throw refusal(host, `${result.status} ${result.text}`);
  } catch (error) {
    // BYE, and what Exchange's front end says without being IMAP.
    const reply = isError(error) ? error.detail['reply'] : undefined;
    if (typeof reply === 'string' && isError(error) && error.code.startsWith('wire.')) throw refusal(host, reply);
    throw error;
  }
}

/** RFC 1939 §5. */
async function pop3Stat(session: Session): Promise<Found> {
  await session.conn.write('STAT\r\n');
  const line = await read(session);
  const [, count] = /^\+OK (\d+)/.exec(line) ?? [];
  if (count === undefined) throw refusal(session.host, line);
  return { says: `the maildrop opens: ${count} messages`, facts: { messages: Number(count) } };
}

/**
 * Whether the mailbox may send, without sending: an envelope to itself, taken back (RFC 5321 §4.1.1.2–5). Permission to send
 * as somebody else is decided by Exchange only when a message is handed over, so this cannot see it.
 * @throws check.sender-refused, check.mailbox-busy, wire.*
 */
export async function tryEnvelope(session: Session, sender: string): Promise<Found> {
  for (const [command, wanted] of [
    [`MAIL FROM:<${sender}>`, /^250/],
    [`RCPT TO:<${sender}>`, /^25[01]/],
    ['RSET', /^250/],
  ] as const) {
    await session.conn.write(`${command}\r\n`);
    const { text: reply } = await readReply(session.conn, session.host, session.signal);
    if (wanted.test(reply)) continue;
    // The refusal is what counts; the server may not even take the envelope back.
    await session.conn.write('RSET\r\n').catch((error: unknown) => error);
    throw refusal(session.host, reply, command.split(':')[0]);
  }
  return { says: `${sender} may send: the envelope was taken, and taken back`, facts: { sender } };
}

/** What a server's refusal of a command is as an error. */
export function refusal(host: string, reply: string, at?: string): PosternError {
  const detail = { host, reply, ...(at === undefined ? {} : { at }) };
  const passes = findRow(evidenceIn(reply))?.passesWhen !== undefined;
  if (passes || reply.startsWith('4')) return checkError('check.mailbox-busy', `${host} answered ${reply}`, { detail });
  return at === undefined
    ? checkError('check.mailbox-closed', `${host} does not open the mailbox: ${reply}`, { detail })
    : checkError('check.sender-refused', `${host} does not let the mailbox send: ${reply}`, { detail });
}

async function read({ conn, host, signal }: Session): Promise<string> {
  const line = await conn.line(REPLY_OCTETS, signal);
  if (line === undefined) throw protocolError('wire.closed', `${host} closed the connection`, { detail: { host } });
  return line.toString('utf8');
}
