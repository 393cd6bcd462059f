/** Time as a dependency, so that tests never sleep and the sandbox can move it. */
import { uptime } from 'node:os';

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. Never keeps the process alive by itself. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls back once after `ms` unless cancelled. Never keeps the process alive by itself. */
  after(ms: number, callback: () => void): Timer;
  /**
   * Milliseconds since some moment, which neither a corrected clock nor, on most systems, a suspended machine moves: against
   * {@link Clock.now} it shows that the clock jumped. Absent where a clock cannot tell.
   */
  monotonic?(): number;
  /** Milliseconds since the machine started, with those it slept; a corrected clock does not move it. Absent where it cannot be told. */
  uptime?(): number;
}

export interface Timer {
  cancel(): void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => sleepOn(systemClock, ms, signal),
  after(ms, callback) {
    const due = performance.now() + ms;
    const arm = (left: number): NodeJS.Timeout =>
      setTimeout(() => {
        const rest = due - performance.now();
        if (left < MAX_TIMEOUT_MS || rest <= 0) callback();
        else handle = arm(Math.min(rest, MAX_TIMEOUT_MS));
      }, left).unref();
    let handle = arm(Math.min(ms, MAX_TIMEOUT_MS));
    return { cancel: () => clearTimeout(handle) };
  },
  monotonic: () => performance.now(),
  uptime: () => uptime() * 1000,
};

/** A longer timeout of the system fires at once (24.8 days), so longer ones are taken in parts. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** A clock that stands still until it is told to move. Timers fire in order of their time. */
export class ManualClock implements Clock {
  #now: number;
  /** How far {@link ManualClock.jump} has moved the time of day. */
  #jumped = 0;
  /** How much of that the machine slept. */
  #slept = 0;
  #timers: { at: number; callback: () => void }[] = [];

  constructor(start = Date.UTC(2026, 10, 21)) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal);
  }

  after(ms: number, callback: () => void): Timer {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((t) => t !== timer)) };
  }

  monotonic(): number {
    return this.#now - this.#jumped;
  }

  uptime(): number {
    return this.#now - this.#jumped + this.#slept;
  }

  /** Changes the time of day only, as a suspended machine or a corrected clock does: timers keep the time they have left. */
  jump(ms: number, how: 'set' | 'asleep' = 'set'): void {
    this.#now += ms;
    this.#jumped += ms;
    if (how === 'asleep') this.#slept += ms;
    for (const timer of this.#timers) timer.at += ms;
  }

  /** Moves time forward by `ms`, firing what falls due and letting promises settle in between. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter((t) => t.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((t) => t !== next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    this.#now = until;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

function sleepOn(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const stop = (): void => {
      timer.cancel();
      reject(signal!.reason as Error);
    };
    const timer = clock.after(ms, () => {
      signal?.removeEventListener('abort', stop);
      resolve();
    });
    signal?.addEventListener('abort', stop, { once: true });
  });
}
