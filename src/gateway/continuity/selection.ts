/** The mailbox a client has selected, and what it was told with it. */
import { isError } from '../../base/error.ts';
import { CommandReader } from '../../protocol/imap/token.ts';
import type { Command } from './commands.ts';
import type { MessageView } from './view.ts';

export interface Selection {
  readonly verb: 'SELECT' | 'EXAMINE';
  /** As it stands in the command, or the octets of a name that can only be sent as a literal. */
  readonly name: string | Buffer;
  /** The client is aware of CONDSTORE (RFC 7162 §3.1): responses carry MODSEQ. */
  readonly condstore: boolean;
  readonly view: MessageView;
  readonly uidValidity: number | undefined;
  readonly modSeq: string | undefined;
  readonly readOnly: boolean;
  readonly flags: string | undefined;
  readonly permanentFlags: string | undefined;
}

const TAG_AND_VERB = /[^ ]+ (?:SELECT|EXAMINE) /iy;

/** The mailbox name and parameters of SELECT or EXAMINE (RFC 9051 §6.3.2, RFC 7162 §3.1.8); undefined when it cannot be repeated. */
export function selectArguments(command: Command): Pick<Selection, 'name' | 'condstore'> | undefined {
  if (!command.small) return undefined;
  try {
    const reader = new CommandReader(command.segments);
    reader.matching(TAG_AND_VERB, 'SELECT');
    const name = reader.astring();
    const parameters = command.segments.at(-1);
    const condstore = typeof parameters === 'string' && asksForModSeq(parameters);
    return { name: asWritten(name), condstore };
  } catch (error) {
    if (isError(error, 'wire.syntax')) return undefined; // the server says BAD
    throw error;
  }
}

/** In the parameters at the end of the line, after a quoted name. */
function asksForModSeq(line: string): boolean {
  return line.endsWith(')') && /\((?:CONDSTORE|QRESYNC)\b/i.test(line.slice(line.lastIndexOf('"') + 1));
}

/** Quoted where that is possible (RFC 9051 §4.3). */
function asWritten(name: Buffer): string | Buffer {
  const text = name.toString('latin1');
  return /^[\x20-\x7e]*$/.test(text) ? `"${text.replace(/["\\]/g, '\\$&')}"` : name;
}
