/** Running parts: what a process consists of, started in order, all or nothing, and ended in reverse. */
import { type Clock, systemClock } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import type { Log } from '../base/log.ts';

/** One thing that runs in a process. */
export interface Part<Context, Role extends string> {
  /** As the log calls it. */
  readonly name: string;
  /** The kinds of process it runs in. */
  readonly in: readonly Role[];
  /** Starts it; what it gives ends it. It uses what the parts before it have put into the context. */
  start(context: Context): Promise<AsyncDisposable | undefined> | AsyncDisposable | undefined;
  /** Milliseconds its end may take; 10 s unless given. */
  readonly stopMs?: (context: Context) => number;
}

export interface RunningParts {
  /** Ends all parts, the last one first, each within its time. Never rejects: what fails is logged. */
  stop(): Promise<void>;
}

/** Closing a database or a listener takes milliseconds, or hangs. */
const STOP_MS = 10_000;

/**
 * Starts every part of this role. When one fails, or when `signal` says that it is not wanted any more, those before it are ended
 * in reverse.
 * @throws whatever a part fails with, the signal's reason
 */
export async function startParts<Context, Role extends string>(
  parts: readonly Part<Context, Role>[],
  role: Role,
  context: Context,
  { log, clock = systemClock, signal }: { readonly log: Log; readonly clock?: Clock; readonly signal?: AbortSignal },
): Promise<RunningParts> {
  const running: { readonly part: Part<Context, Role>; readonly handle: AsyncDisposable }[] = [];
  let stopped: Promise<void> | undefined;
  const stopAll = async (): Promise<void> => {
    for (const { part, handle } of running.toReversed())
      await within(clock, part.stopMs?.(context) ?? STOP_MS, handle, (problem) =>
        log.error({ part: part.name, error: problem }, `${part.name} did not end in order`),
      );
  };
  const stop = (): Promise<void> => (stopped ??= stopAll());
  try {
    for (const part of parts) {
      if (!part.in.includes(role)) continue;
      signal?.throwIfAborted();
      const handle = await part.start(context);
      if (handle) running.push({ part, handle });
    }
    signal?.throwIfAborted();
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop };
}

/** What a part gives when ending it is one call. */
export function endedBy(end: () => Promise<void> | void): AsyncDisposable {
  return { [Symbol.asyncDispose]: async () => end() };
}

/** The same, of what is stopped. */
export const stoppedLater = (one: { stop(): Promise<void> | void }): AsyncDisposable => endedBy(() => one.stop());

async function within(
  clock: Clock,
  ms: number,
  handle: AsyncDisposable,
  problem: (text: string) => void,
): Promise<void> {
  const enough = new AbortController();
  const late = clock.sleep(ms, enough.signal).then(
    () => problem(`it took longer than ${ms / 1000} s`),
    () => undefined,
  );
  const done = Promise.resolve(handle[Symbol.asyncDispose]()).catch((error: unknown) =>
    problem(asError(error).message),
  );
  await Promise.race([done, late]);
  enough.abort();
}
