/** APPEND: a message is stored (RFC 9051 §6.3.12; RFC 4315 APPENDUID). */
import { formatDateTime, parseDateTime } from '../date.ts';
import type { CommandOptions, CommandResult, ImapSession, OutgoingLiteral } from '../session.ts';
import { type CommandReader, formatAstring } from '../token.ts';

/** What is said of the message. */
export interface AppendArguments {
  /** As on the wire. */
  readonly mailbox: string | Buffer;
  readonly flags?: readonly string[];
  /** INTERNALDATE, milliseconds since the epoch; the server's clock without it. */
  readonly date?: number | undefined;
}

/** @throws as `ImapSession.run` */
export function append(
  session: ImapSession,
  { mailbox, flags = [], date }: AppendArguments,
  message: OutgoingLiteral,
  options?: CommandOptions,
): Promise<CommandResult> {
  const flagged = flags.length === 0 ? '' : `(${flags.join(' ')}) `;
  const dated = date === undefined ? '' : `"${formatDateTime(date)}" `;
  return session.run(['APPEND ', formatAstring(mailbox), ` ${flagged}${dated}`, message], options);
}

/** The arguments of an APPEND of one message. @throws wire.syntax */
export function parseAppend(
  reader: CommandReader,
): Required<AppendArguments> & { readonly mailbox: Buffer; readonly message: Buffer } {
  reader.space();
  const mailbox = reader.astring();
  reader.space();
  let flags: string[] = [];
  if (reader.peek() === '(') {
    flags = reader.list(() => reader.flag());
    reader.space();
  }
  let date: number | undefined;
  // A quoted string here is the date: the message itself is always a literal.
  if (reader.peek() === '"') {
    date = parseDateTime(reader.string().toString('latin1'));
    reader.space();
  }
  const message = reader.string();
  reader.end();
  return { mailbox, flags, date, message };
}
