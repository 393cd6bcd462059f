/** What a client's commands have left in its session at the server, apart from the mailbox that is selected. */
import type { Command } from './commands.ts';
import { knowsModSeq, leavesNoTrace, savesResult } from './commands-known.ts';

export class Footprint {
  /** Extensions that ENABLE turned on (RFC 5161), in capitals. */
  readonly #enabled = new Set<string>();
  #modSeq = false;
  #saved = false;
  #traceless = true;
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

  /** Every command so far was refused. */
  get useless(): boolean {
    return this.#worked === false;
  }

  begun(command: Command): void {
    this.#saved ||= savesResult(command);
    this.#modSeq ||= knowsModSeq(command);
  }

  /** A command was passed on whole. */
  completed(command: Command): void {
    this.#traceless &&= leavesNoTrace(command);
  }

  /** A line that is no command. */
  unreadable(): void {
    this.#traceless = false;
  }

  answered(status: string): void {
    this.#worked = this.#worked === true || status === 'OK';
  }

  /** An untagged line of the server. */
  told(text: string): void {
    for (const name of /^\* ENABLED (.*)$/i.exec(text)?.[1]?.split(' ') ?? []) this.#enabled.add(name.toUpperCase());
  }
}
