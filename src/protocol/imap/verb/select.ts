/** SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3; RFC 7162 §3.1.8 CONDSTORE), and what is said of the mailbox that is selected. */
import type { Response } from '../response.ts';
import type { CommandOptions, CommandResult, CommandText, ImapSession } from '../session.ts';
import { type CommandReader, formatAstring } from '../token.ts';

export interface SelectCommand {
  readonly verb: 'SELECT' | 'EXAMINE';
  /** As on the wire. */
  readonly mailbox: string | Buffer;
  /** Responses are to carry MODSEQ. */
  readonly condstore?: boolean;
}

/** What a server says of a mailbox as it is selected, and when it changes. */
export interface SelectedMailbox {
  exists?: number;
  /** Servers of IMAP4rev2 have none. */
  recent?: number | undefined;
  uidValidity?: number;
  uidNext?: number;
  /** HIGHESTMODSEQ, up to 63 bits. */
  modSeq?: string;
  /** With parentheses. */
  flags?: string;
  permanentFlags?: string;
}

export interface SelectResult extends CommandResult {
  readonly mailbox: SelectedMailbox;
  readonly readOnly: boolean;
}

/** @throws as `ImapSession.run` */
export async function select(
  session: ImapSession,
  command: SelectCommand,
  options: CommandOptions = {},
): Promise<SelectResult> {
  const mailbox: SelectedMailbox = {};
  const result = await session.run(formatSelect(command), {
    ...options,
    untagged: (response, segments) => {
      noteSelected(mailbox, response);
      options.untagged?.(response, segments);
    },
  });
  if (result.code?.name === 'UIDVALIDITY') mailbox.uidValidity = Number(result.code.text);
  return { ...result, mailbox, readOnly: result.code?.name === 'READ-ONLY' };
}

function formatSelect({ verb, mailbox, condstore = false }: SelectCommand): CommandText {
  return [`${verb} `, formatAstring(mailbox), condstore ? ' (CONDSTORE)' : ''];
}

/** Writes down what a response says of the selected mailbox, if it does. */
export function noteSelected(selected: SelectedMailbox, response: Response): void {
  if (response.type === 'message-count') {
    if (response.name === 'EXISTS') selected.exists = response.number;
    else selected.recent = response.number;
  } else if (response.type === 'flags') selected.flags = response.text;
  else if (response.type === 'status' && response.status === 'OK' && response.code !== undefined) {
    const { name, text } = response.code;
    if (name === 'UIDVALIDITY') selected.uidValidity = Number(text);
    else if (name === 'UIDNEXT') selected.uidNext = Number(text);
    else if (name === 'HIGHESTMODSEQ') selected.modSeq = text;
    else if (name === 'PERMANENTFLAGS') selected.permanentFlags = text;
  }
}

/** The name, and whether MODSEQ is asked for first among the parameters; the rest of these is left. @throws wire.syntax */
export function parseSelect(reader: CommandReader): { readonly mailbox: Buffer; readonly condstore: boolean } {
  reader.space();
  const mailbox = reader.astring();
  return { mailbox, condstore: reader.skip(' (CONDSTORE') || reader.skip(' (QRESYNC') };
}

/** What a server says at a SELECT, with CRLF. Undefined is left out. @param unseen number of the first unseen message */
export function formatSelected(mailbox: SelectedMailbox, unseen?: number): string {
  const { exists, flags, modSeq, permanentFlags, recent, uidNext, uidValidity } = mailbox;
  const lines = [
    exists === undefined ? undefined : `${exists} EXISTS`,
    recent === undefined ? undefined : `${recent} RECENT`,
    flags && `FLAGS ${flags}`,
    permanentFlags && `OK [PERMANENTFLAGS ${permanentFlags}] Permanent flags`,
    unseen === undefined ? undefined : `OK [UNSEEN ${unseen}] Is the first unseen message`,
    uidValidity === undefined ? undefined : `OK [UIDVALIDITY ${uidValidity}] UIDVALIDITY value`,
    uidNext === undefined ? undefined : `OK [UIDNEXT ${uidNext}] The next unique identifier value`,
    modSeq === undefined ? undefined : `OK [HIGHESTMODSEQ ${modSeq}] Highest`,
  ];
  return lines.flatMap((line) => (line === undefined ? [] : [`* ${line}\r\n`])).join('');
}
