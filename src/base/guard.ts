/**
 * What an event or a timer calls runs on nobody's stack: what it throws ends the process. A guard runs it for one session, one request, one
 * delivery, so that a defect there ends that one and nothing else.
 */
import type { Clock } from './clock.ts';

/** Told what was thrown; ends what the guard is for. Must not throw. */
export type Fault = (error: unknown) => void;

/** Runs it now. @returns undefined when it threw */
export function guarded<T>(fault: Fault, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    fault(error);
    return undefined;
  }
}

/** A clock whose timers are guarded. */
export function guardedClock(clock: Clock, fault: Fault): Clock {
  return {
    now: () => clock.now(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    after: (ms, callback) => clock.after(ms, () => guarded(fault, callback)),
    ...(clock.monotonic && { monotonic: () => clock.monotonic!() }),
  };
}
