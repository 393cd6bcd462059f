/** The mailbox a client has selected, and what it was told with it. */
import { isError } from '../../base/error.ts';
import { CommandReader } from '../../protocol/imap/token.ts';
import { parseSelect, type SelectedMailbox } from '../../protocol/imap/verb/select.ts';
import type { Command } from './command.ts';
import type { MessageView } from './view.ts';

export interface Selection extends Readonly<SelectedMailbox> {
  readonly verb: 'SELECT' | 'EXAMINE';
  /** As on the wire, one octet per character. */
  readonly name: string;
  /** The client is aware of CONDSTORE (RFC 7162 §3.1): responses carry MODSEQ. */
  readonly condstore: boolean;
  readonly view: MessageView;
  readonly readOnly: boolean;
}

const TAG_AND_VERB = /[^ ]+ (?:SELECT|EXAMINE)/iy;

/** The mailbox name and parameters of SELECT or EXAMINE; undefined when it cannot be repeated. */
export function selectArguments(command: Command): Pick<Selection, 'name' | 'condstore'> | undefined {
  if (!command.small) return undefined;
  try {
    const reader = new CommandReader(command.segments);
    reader.matching(TAG_AND_VERB, 'SELECT');
    const { mailbox, condstore } = parseSelect(reader);
    return { name: mailbox.toString('latin1'), condstore };
  } catch (error) {
    if (isError(error, 'wire.syntax')) return undefined; // the server says BAD
    throw error;
  }
}
