/**
 * A clock for months: it leaps, and everything that fell due meanwhile happens once, late, as on a machine that was busy.
 * A ManualClock would let a poll of twice a second happen twenty million times in a quarter of a year.
 */
import type { Clock, Timer } from '../../src/base/clock.ts';
import { ManualClock } from './manual-clock.ts';

export class LeapClock implements Clock {
  #now: number;
  #slept = 0;
  #timers = new Set<{ at: number; readonly callback: () => void }>();

  constructor(start: number) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  /** Stands still while the machine sleeps. */
  monotonic(): number {
    return this.#now - this.#slept;
  }

  // The same waiting as everybody's, on this clock's timers.
  sleep = (ms: number, signal?: AbortSignal): Promise<void> => ManualClock.prototype.sleep.call(this, ms, signal);

  after(ms: number, callback: () => void): Timer {
    const timer = { at: this.#now + ms, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** `ms` pass at once. */
  leap(ms: number): void {
    this.#now += ms;
    const due = [...this.#timers].filter(({ at }) => at <= this.#now).toSorted((a, b) => a.at - b.at);
    for (const timer of due) if (this.#timers.delete(timer)) timer.callback();
  }

  /** The machine is suspended for `ms`: the time of day goes on, nothing happens, timers keep what they had left. */
  suspend(ms: number): void {
    this.#now += ms;
    this.#slept += ms;
    for (const timer of this.#timers) timer.at += ms;
  }
}
