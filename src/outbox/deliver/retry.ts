/** When to try again (RFC 5321 §4.5.4.1), sooner at first because most trouble is short. */

const MINUTE_MS = 60_000;
const STEPS_MINUTES = [0.5, 1, 2, 5, 10, 20, 30, 60] as const;
/** Up to a fifth earlier or later, so that what failed together does not come back together. */
const JITTER = 0.2;
/** A server's wish for patience with one message counts for no longer. */
export const MAX_ASKED_MS = 4 * 60 * MINUTE_MS;

/**
 * When attempt number `attempts` + 1 is due, never after the deadline (when it is given up).
 * @param asked milliseconds the provider asked us to wait at least
 */
export function nextAttempt(
  attempts: number,
  now: number,
  deadline: number,
  asked = 0,
  random: () => number = Math.random,
): number {
  const step = STEPS_MINUTES[Math.min(Math.max(attempts, 1), STEPS_MINUTES.length) - 1]! * MINUTE_MS;
  const wait = Math.max(Math.min(asked, MAX_ASKED_MS), step * (1 + JITTER * (2 * random() - 1)));
  return Math.min(Math.round(now + wait), Math.max(deadline, now));
}
