/** LIST and LSUB (RFC 9051 §6.3.9, §7.3.1; RFC 3501 §6.3.9). Names on the wire are modified UTF-7 (`mailbox-name.ts`). */
import type { CommandOptions, ImapSession } from '../session.ts';
import { type CommandReader, formatAstring, formatString } from '../token.ts';

export interface ListedMailbox {
  /** `\Noselect`, special uses (RFC 6154). */
  readonly flags: readonly string[];
  /** Undefined: the hierarchy is flat. */
  readonly delimiter: string | undefined;
  /** As on the wire. */
  readonly name: string;
}

/** What a server refuses to list is an empty list. @throws as `ImapSession.run` */
export async function list(
  session: ImapSession,
  reference: string,
  pattern: string,
  options?: CommandOptions,
): Promise<readonly ListedMailbox[]> {
  const { responses } = await session.run(['LIST ', formatAstring(reference), ' ', formatAstring(pattern)], options);
  return responses.flatMap((one) => (one.type === 'list' ? [one] : []));
}

/** Where servers that do not mark it (RFC 6154 \Sent) keep it; Exchange's and Gmail's own names in English. */
const USUAL = ['Sent Items', 'Sent', '[Gmail]/Sent Mail', 'INBOX.Sent', 'Sent Messages'];

/** Where a mailbox keeps what it has sent. */
export function sentMailbox(mailboxes: readonly Pick<ListedMailbox, 'name' | 'flags'>[]): string | undefined {
  const marked = mailboxes.find(({ flags }) => flags.some((flag) => flag.toLowerCase() === '\\sent'));
  return marked?.name ?? USUAL.find((name) => mailboxes.some((mailbox) => mailbox.name === name));
}

/** The arguments. @throws wire.syntax */
export function parseList(reader: CommandReader): { readonly reference: string; readonly pattern: string } {
  reader.space();
  const reference = reader.astring().toString('latin1');
  reader.space();
  const pattern = reader.listMailbox();
  reader.end();
  return { reference, pattern };
}

/** One response, with CRLF. */
export function formatListed(verb: 'LIST' | 'LSUB', { flags, delimiter, name }: ListedMailbox): string {
  const shown = /^[\w.+&,-]+(?:\/[\w.+&,-]+)*$/.test(name) ? name : formatString(name);
  return `* ${verb} (${flags.join(' ')}) ${delimiter === undefined ? 'NIL' : formatString(delimiter)} ${shown}\r\n`;
}
