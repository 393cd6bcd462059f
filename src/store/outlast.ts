/** What has been learnt outlasts a database that is away: it is written as soon as the database is back. */
import { backoffMs } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { asError, type PosternError } from '../base/error.ts';

/** Soon enough that nobody else draws conclusions first, seldom enough for a database that is just starting. */
const AGAIN = { baseMs: 100, maxMs: 2_000 };

export interface OutlastOptions {
  readonly clock: Clock;
  /** Waits no longer: one more try, and that is all. */
  readonly signal?: AbortSignal;
  /** Hears of every try that failed, counted from 1. */
  readonly failed?: (error: PosternError, failures: number) => void;
}

/**
 * The database does not answer, has no room or does not let us in just now (closed for maintenance, renamed, a password changed
 * under a running process): what could not be written can be later.
 */
export function isAway(error: unknown): boolean {
  const { code } = asError(error);
  return code === 'store.unavailable' || code === 'store.full' || code === 'store.misconfigured';
}

/**
 * Runs `work` until the database takes it, however long that is. The answer to a commit may have been lost: `work` has to bear
 * being done twice. @throws anything but store.unavailable, .full and .misconfigured; those once `signal` is aborted
 */
export async function outlast<T>(work: () => Promise<T>, { clock, signal, failed }: OutlastOptions): Promise<T> {
  for (let failures = 1; ; failures++) {
    const isLast = signal?.aborted === true;
    try {
      return await work();
    } catch (error) {
      if (!isAway(error) || isLast) throw error;
      failed?.(asError(error), failures);
    }
    await clock.sleep(backoffMs(failures - 1, AGAIN), signal).catch(() => undefined);
  }
}
