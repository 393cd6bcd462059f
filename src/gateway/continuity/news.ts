/** What a server says of the selected mailbox, and when the client may be told (RFC 9051 §7.5.1, RFC 7162 §3.2.10). */
import { type Numbered, uidOf } from '../../protocol/imap/response.ts';
import type { Selecting } from './selecting.ts';

/** What is under way at the moment. */
export interface Moment {
  /** A command of the client: the server minds itself what it may say meanwhile. */
  readonly asked: boolean;
  /** A FETCH of ours. */
  readonly own: boolean;
}

/** The names of numbered responses that are news of the mailbox (RFC 9051 §7.4, §7.5). */
export const NEWS: ReadonlySet<string> = new Set(['EXISTS', 'EXPUNGE', 'FETCH', 'RECENT']);
const NOTHING: readonly string[] = [];
/** A program that never sends a command with which it could learn of expunged messages has to start again. */
const MAX_REFUSED = 3;

export class MailboxNews {
  readonly #mailbox: Selecting;
  /** Changes that have to wait for the client's next command, in the server's order. */
  #waiting: string[] = [];
  #muted: string[] | undefined;
  #refused = 0;

  constructor(mailbox: Selecting) {
    this.#mailbox = mailbox;
  }

  /** True when the client's numbers are not the server's, because it could not be told yet. */
  get waiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** True when FETCH responses matter too. */
  get watching(): boolean {
    return this.waiting || this.#muted !== undefined;
  }

  /**
   * @param said a line about a message or their number, or the set of UIDs that are gone
   * @returns the line when it may pass, nothing when it is not for now or not for the client
   */
  heard(line: string, said: Numbered | string, { asked, own }: Moment): string | undefined {
    if (this.#muted !== undefined) {
      this.#muted.push(line);
      return undefined;
    }
    const expunging = typeof said === 'string' || said.name === 'EXPUNGE';
    if (typeof said === 'string') this.#mailbox.vanished(said);
    else if (said.name === 'EXPUNGE') this.#mailbox.expunge(said.number);
    else if (said.name === 'EXISTS') this.#mailbox.exists(said.number);
    else if (said.name === 'FETCH' && (own || this.#mailbox.unnumbered)) {
      const told = uidOf(line, said);
      if (told && this.#mailbox.unnumbered) this.#mailbox.learn(said.number, told.uid);
      if (own && told?.alone === true) return undefined;
    }
    // Order counts: behind a change that has to wait, all others wait.
    if (!this.waiting && (asked || !expunging)) return line;
    this.#waiting.push(line);
    return undefined;
  }

  /** Has lines wait for the client's next command. */
  keep(lines: readonly string[]): void {
    this.#waiting.push(...lines);
  }

  /** A command is refused because of what waits. @returns false when this happened too often */
  refuse(): boolean {
    this.#refused += 1;
    return this.#refused < MAX_REFUSED;
  }

  /** @returns what has waited; it is told now */
  take(): readonly string[] {
    this.#refused = 0;
    if (this.#waiting.length === 0) return NOTHING;
    return this.#waiting.splice(0);
  }

  /** What is heard from here on is neither told nor counted. */
  mute(): void {
    this.#muted = [];
  }

  /** @returns what was heard meanwhile, to be heard again or not */
  unmute(): readonly string[] {
    const lines = this.#muted ?? [];
    this.#muted = undefined;
    return lines;
  }
}
