/** Time for tests. */
import { type Clock, sleepOn, type Timer } from '../../src/base/clock.ts';

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
