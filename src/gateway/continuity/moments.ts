/** Waiting for a moment in a session at which something can be done, or for its end. */
import type { Clock } from '../../base/clock.ts';
import { asError, isError } from '../../base/error.ts';
import { upstreamError } from '../../upstream/errors.ts';

/** Why a session cannot go on; the words are for the client. */
export class Hopeless extends Error {}

/** @returns undefined when another try may succeed */
export function hopelessReason(error: unknown): string | undefined {
  if (error instanceof Hopeless) return error.message;
  return isError(error) && error.code.startsWith('gateway.') && error.kind !== 'later' ? error.message : undefined;
}

export class Moments {
  readonly #clock: Clock;
  readonly #stop: Stop;
  #waiting: (() => void)[] = [];

  constructor(clock: Clock, stop: Stop) {
    this.#clock = clock;
    this.#stop = stop;
  }

  /** Something happened in the session. */
  happened(): void {
    if (this.#waiting.length === 0) return;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** @throws the reason the session is over */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.next();
  }

  /** Waits until something happens, or so many milliseconds. @throws the reason the session is over */
  next(mostMs?: number): Promise<void> {
    const { signal } = this.#stop;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(asError(signal.reason));
      const done = (): void => {
        timer?.cancel();
        signal.removeEventListener('abort', abort);
        resolve();
      };
      const abort = (): void => {
        timer?.cancel();
        reject(asError(signal.reason));
      };
      const timer = mostMs === undefined ? undefined : this.#clock.after(mostMs, done);
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.push(done);
    });
  }
}

/** One for all sessions: an error with its stack is dear. */
const OVER = upstreamError('gateway.provider-unreachable', 'the session is over');

/** The end of a session, for what works on it. Hardly any session is worked on: the signal is made when somebody asks for it. */
export class Stop {
  #controller: AbortController | undefined;
  stopped = false;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.stopped) this.#controller.abort(OVER);
    }
    return this.#controller.signal;
  }

  stop(): void {
    this.stopped = true;
    this.#controller?.abort(OVER);
  }
}
