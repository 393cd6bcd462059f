/** STATUS: a mailbox looked at without being selected (RFC 9051 §6.3.11, §7.3.3). */
import type { CommandOptions, CommandResult, ImapSession } from '../session.ts';
import { type CommandReader, formatAstring, formatString } from '../token.ts';

export type StatusItem = 'MESSAGES' | 'RECENT' | 'UIDNEXT' | 'UIDVALIDITY' | 'UNSEEN';

export interface StatusResult extends CommandResult {
  /** Those that the server named; by name in capitals. */
  readonly values: ReadonlyMap<string, number>;
}

/** @param mailbox as on the wire @throws as `ImapSession.run` */
export async function status(
  session: ImapSession,
  mailbox: string | Buffer,
  items: readonly StatusItem[],
  options?: CommandOptions,
): Promise<StatusResult> {
  const result = await session.run(['STATUS ', formatAstring(mailbox), ` (${items.join(' ')})`], options);
  const said = result.responses.findLast((one) => one.type === 'mailbox-status');
  return { ...result, values: said?.type === 'mailbox-status' ? said.values : new Map() };
}

/** The arguments; items in capitals, known or not. @throws wire.syntax */
export function parseStatus(reader: CommandReader): { readonly mailbox: Buffer; readonly items: readonly string[] } {
  reader.space();
  const mailbox = reader.astring();
  reader.space();
  const items = reader.list(() => reader.atom().toUpperCase());
  reader.end();
  return { mailbox, items };
}

/** The response, with CRLF. */
export function formatStatus(mailbox: string, values: readonly (readonly [string, number])[]): string {
  return `* STATUS ${formatString(mailbox)} (${values.map(([name, value]) => `${name} ${value}`).join(' ')})\r\n`;
}
