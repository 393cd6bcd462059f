/** Waiting times between tries: exponential with full jitter, so that many clients do not come back together. */

export interface BackoffOptions {
  /** First ceiling in milliseconds. */
  readonly baseMs: number;
  /** Highest ceiling in milliseconds. */
  readonly maxMs: number;
  /** Uniform in [0, 1); injected by tests. */
  readonly random?: () => number;
}

/** Milliseconds to wait before try number `attempt` (0 is the first repeat): between half and all of the doubled ceiling. */
export function backoffMs(attempt: number, options: BackoffOptions): number {
  const ceiling = Math.min(options.maxMs, options.baseMs * 2 ** Math.min(attempt, 30));
  return Math.round(ceiling * (0.5 + 0.5 * (options.random ?? Math.random)()));
}
