/** The tenant's time: runs like the clock below it and can be moved ahead, so that an hour passes in a moment. */
import { type Clock, sleepOn, type Timer } from '../base/clock.ts';
import { sandboxError } from './errors.ts';

interface Waiting {
  /** Milliseconds since the epoch, in the tenant's time. */
  readonly at: number;
  readonly callback: () => void;
  below: Timer | undefined;
}

/** Timers of most runtimes overflow beyond 2³¹ − 1 ms; longer ones are set again on the way. */
const LONGEST_MS = 2_147_483_647;
/** Real time that is spent on one way, so that whoever asked gets an answer. */
const WALK_MS = 5000;

/**
 * Tokens, codes, secrets and limits live by this clock. What belongs to the connection (idle and handshake limits) stays on
 * the clock below, as if the client had kept in touch while the time was passing.
 */
export class SandboxClock implements Clock {
  readonly #below: Clock;
  #ahead = 0;
  #waiting = new Set<Waiting>();
  #moving: Promise<void> = Promise.resolve();

  constructor(below: Clock) {
    this.#below = below;
  }

  /** Milliseconds this clock is ahead of the one below. */
  get ahead(): number {
    return this.#ahead;
  }

  now(): number {
    return this.#below.now() + this.#ahead;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal);
  }

  after(ms: number, callback: () => void): Timer {
    const waiting: Waiting = { at: this.now() + ms, callback, below: undefined };
    this.#waiting.add(waiting);
    this.#arm(waiting);
    return {
      cancel: () => {
        waiting.below?.cancel();
        this.#waiting.delete(waiting);
      },
    };
  }

  /**
   * Moves the time ahead by `ms`. What falls due on the way happens in order, each at its own moment; a way with so many
   * moments that it would take longer than five real seconds is walked so far and then jumped. With `jump` it is jumped at
   * once, as by a machine that was suspended: everything due happens at the end.
   * @throws sandbox.time (time does not go back)
   */
  advance(ms: number, { jump = false }: { readonly jump?: boolean } = {}): Promise<void> {
    if (!Number.isFinite(ms) || ms < 0)
      throw sandboxError('sandbox.time', `the time can only be moved ahead, not by ${ms} ms`);
    const moved = this.#moving.then(() => this.#move(ms, jump ? 0 : WALK_MS));
    // Whoever moved it hears of a callback that threw; the next one moves it all the same.
    const over = (): void => undefined;
    this.#moving = moved.then(over, over);
    return moved;
  }

  async #move(ms: number, walkMs: number): Promise<void> {
    const target = this.#ahead + ms;
    for (const end = performance.now() + walkMs; performance.now() < end;) {
      const next = this.#earliest();
      if (!next || next.at > this.#below.now() + target) break;
      this.#ahead = Math.min(target, Math.max(this.#ahead, next.at - this.#below.now()));
      this.#fire(next);
      await turn();
    }
    this.#ahead = target;
    const due = [...this.#waiting].filter(({ at }) => at <= this.now()).sort((a, b) => a.at - b.at);
    for (const waiting of due) this.#fire(waiting);
    for (const waiting of this.#waiting) this.#arm(waiting);
    await turn();
  }

  #earliest(): Waiting | undefined {
    let first: Waiting | undefined;
    for (const waiting of this.#waiting) if (!first || waiting.at < first.at) first = waiting;
    return first;
  }

  #arm(waiting: Waiting): void {
    waiting.below?.cancel();
    const ms = Math.min(Math.max(0, waiting.at - this.now()), LONGEST_MS);
    waiting.below = this.#below.after(ms, () => {
      if (waiting.at <= this.now()) this.#fire(waiting);
      else this.#arm(waiting);
    });
  }

  #fire(waiting: Waiting): void {
    if (!this.#waiting.delete(waiting)) return;
    waiting.below?.cancel();
    waiting.callback();
  }
}

/** Lets promises and sockets settle. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
