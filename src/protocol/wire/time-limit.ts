/** Time limits of work that goes through many hands: whoever is stopped by one says what did not answer. */
import { type Clock, systemClock, type Timer } from '../../base/clock.ts';
import { protocolError } from '../errors.ts';

export interface TimeLimit extends Disposable {
  /** Aborted with `wire.timeout`, or with the reason of the outer signal. */
  readonly signal: AbortSignal;
}

/** To be disposed of when the work is over. @param host who has to answer, for the words */
export function timeLimit(host: string, ms: number, outer?: AbortSignal, clock: Clock = systemClock): TimeLimit {
  const stop = new AbortController();
  const seconds = Math.ceil(ms / 1000);
  const timer: Timer = clock.after(ms, () =>
    stop.abort(protocolError('wire.timeout', `${host} did not answer within ${seconds} seconds`, { detail: { host } })),
  );
  return {
    signal: outer ? AbortSignal.any([outer, stop.signal]) : stop.signal,
    [Symbol.dispose]: () => timer.cancel(),
  };
}
