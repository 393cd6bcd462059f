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

/** Waits for work, which goes on by itself, but no longer than so many milliseconds. @throws what it throws meanwhile */
export async function atMost(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const enough = new AbortController();
  try {
    await Promise.race([work, clock.sleep(ms, enough.signal).catch(() => undefined)]);
  } finally {
    enough.abort();
  }
}

/** What every clock makes of its timers: resolves after `ms`; rejects with the signal’s reason when aborted. */
export function sleepOn(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
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
