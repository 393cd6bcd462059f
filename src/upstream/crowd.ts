/** Programs that wait, at the provider's limit of sessions, for another session of the same mailbox to end. */
import type { Clock } from '../base/clock.ts';

/** Programs wait half a minute and more for a sign-in, and most sessions of those that poll end sooner. */
const PATIENCE_MS = 10_000;
/** The provider counts a session a moment longer than its program has it. */
const COUNTED_MS = 500;

export class Crowd {
  readonly #clock: Clock;
  /** By mailbox, whoever came first first. */
  readonly #waiting = new Map<string, AbortController[]>();

  /** @param clock the time of connections */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A session of this mailbox has ended, or rests for its next program: one of those that wait may try. */
  ended(address: string): void {
    this.#waiting.get(address)?.shift()?.abort();
  }

  /**
   * Tries again whenever a session of the mailbox has ended, for ten seconds at most.
   * @param crowded whether a failure says that there are too many sessions
   * @throws the first failure when no session ended, otherwise the last one, or the signal's reason
   */
  async retry<T>(
    address: string,
    first: unknown,
    crowded: (error: unknown) => boolean,
    work: () => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const until = this.#clock.now() + PATIENCE_MS;
    let failure = first;
    for (;;) {
      const left = until - this.#clock.now();
      if (left <= 0 || !(await this.#turn(address, left, signal))) throw failure;
      await this.#clock.sleep(COUNTED_MS, signal);
      try {
        return await work();
      } catch (error) {
        if (!crowded(error)) throw error;
        failure = error;
      }
    }
  }

  /** @returns false when nobody's session has ended in that time. @throws the signal's reason */
  async #turn(address: string, ms: number, signal: AbortSignal): Promise<boolean> {
    const turn = new AbortController();
    const waiting = this.#waiting.get(address) ?? [];
    this.#waiting.set(address, waiting);
    waiting.push(turn);
    try {
      await this.#clock.sleep(ms, AbortSignal.any([signal, turn.signal]));
      return false;
    } catch {
      signal.throwIfAborted();
      return true;
    } finally {
      const at = waiting.indexOf(turn);
      if (at !== -1) waiting.splice(at, 1);
      if (waiting.length === 0 && this.#waiting.get(address) === waiting) this.#waiting.delete(address);
    }
  }
}
