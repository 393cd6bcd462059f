/** Notices that the time of day moved by itself: the machine slept, or its clock was set. */
import type { Clock } from '../base/clock.ts';

export interface JumpWatch {
  /** Milliseconds that the time of day moved since the last look beyond what really passed; 0 for a mere drift. */
  look(): number;
}

export function watchForJumps(clock: Clock): JumpWatch {
  const monotonic = (): number => clock.monotonic?.() ?? clock.now();
  let lastNow = clock.now();
  let lastMonotonic = monotonic();
  return {
    look() {
      const [now, passed] = [clock.now(), monotonic()];
      const jump = now - lastNow - (passed - lastMonotonic);
      [lastNow, lastMonotonic] = [now, passed];
      return Math.abs(jump) < DRIFT_MS ? 0 : jump;
    },
  };
}

/** Clocks that are being disciplined move by less within one look. */
const DRIFT_MS = 10_000;
