/** A command as it passes. */
import type { Segment } from '../../protocol/imap/token.ts';

/** One command of the client. */
export interface Command {
  readonly tag: string;
  /** In capitals; commands by UID are `UID FETCH`, `UID STORE`, … */
  readonly verb: string;
  /** Its text without tag and CRLF up to the first literal. */
  readonly line: string;
  /** Text and literals as received, tag included; literals are complete only when the command is and `small`. */
  readonly segments: readonly Segment[];
  /** False when a literal was too large to be kept. */
  readonly small: boolean;
  /** It has a literal for which the client does not wait to be asked (RFC 7888). */
  readonly unasked: boolean;
}
