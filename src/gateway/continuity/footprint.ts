/** What a client's commands have left in its session at the server, apart from the mailbox that is selected. */
import type { Command } from './command.ts';
import { knowsModSeq, leavesNoTrace, mayHaveLiterals, savesResult } from './commands-known.ts';

export class Footprint {
  /** Extensions that ENABLE turned on (RFC 5161), in capitals. */
  readonly enabled = new Set<string>();
  /** Nothing that another session could not be given. */
  portable = true;
  /** Nothing at all: for another client the session is as it was after sign-in. */
  none = true;
  /** No command was given. */
  unused = true;
  #modSeq = false;
  #worked: boolean | undefined;

  /** Responses carry MODSEQ (RFC 7162 §3.1). */
  get condstore(): boolean {
    return this.#modSeq || this.enabled.has('CONDSTORE') || this.enabled.has('QRESYNC');
  }

  /** Every command so far was refused. */
  get useless(): boolean {
    return this.#worked === false;
  }

  begun(command: Command): void {
    this.unused = false;
    this.portable &&= !savesResult(command);
    this.#modSeq ||= knowsModSeq(command);
  }

  /** A command was passed on whole. */
  completed(command: Command): void {
    this.none &&= leavesNoTrace(command) && (command.segments.length === 1 || mayHaveLiterals(command.verb));
  }

  /**
   * Only an OK proves that the server has read a literal as one: what it refuses it may have read as commands. BAD says that it
   * did not understand, and no program needs a session of which that was said.
   */
  answered({ unasked }: Command, status: string): void {
    this.#worked = this.#worked === true || status === 'OK';
    if (status === 'BAD' || (unasked && status !== 'OK')) this.none = false;
  }
}
