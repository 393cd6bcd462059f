/** What a client's commands have left in its session at the server, apart from the mailbox that is selected. */
import type { Command } from './command.ts';
import { knowsModSeq, leavesNoTrace, savesResult } from './commands-known.ts';
import { mayHaveLiterals } from './framing.ts';

export class Footprint {
  /** Extensions that ENABLE turned on (RFC 5161), in capitals. */
  readonly #enabled = new Set<string>();
  #modSeq = false;
  #saved = false;
  #traceless = true;
  #used = false;
  #worked: boolean | undefined;

  get enabled(): ReadonlySet<string> {
    return this.#enabled;
  }

  /** Responses carry MODSEQ (RFC 7162 §3.1). */
  get condstore(): boolean {
    return this.#modSeq || this.#enabled.has('CONDSTORE') || this.#enabled.has('QRESYNC');
  }

  /** Nothing that another session could not be given. */
  get portable(): boolean {
    return !this.#saved;
  }

  /** Nothing at all: for another client the session is as it was after sign-in. */
  get none(): boolean {
    return this.#traceless;
  }

  /** No command was given. */
  get unused(): boolean {
    return !this.#used;
  }

  /** Every command so far was refused. */
  get useless(): boolean {
    return this.#worked === false;
  }

  begun(command: Command): void {
    this.#used = true;
    this.#saved ||= savesResult(command);
    this.#modSeq ||= knowsModSeq(command);
  }

  /** A command was passed on whole. */
  completed(command: Command): void {
    this.#traceless &&= leavesNoTrace(command) && (command.segments.length === 1 || mayHaveLiterals(command.verb));
  }

  /**
   * Only an OK proves that the server has read a literal as one: what it refuses it may have read as commands. BAD says that it
   * did not understand, and no program needs a session of which that was said.
   */
  answered({ unasked }: Command, status: string): void {
    this.#worked = this.#worked === true || status === 'OK';
    if (status === 'BAD' || (unasked && status !== 'OK')) this.#traceless = false;
  }

  /** A literal was announced and not asked for. */
  refused(): void {
    this.#traceless = false;
  }

  /** The server has turned these extensions on. */
  enable(names: readonly string[]): void {
    for (const name of names) this.#enabled.add(name);
  }
}
