/** Work that one process of all has: a lease says which, and whoever holds it dies is replaced when the lease runs out. */
import { randomBytes } from 'node:crypto';
import type { Timer } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import type { Lease } from '../store/types.ts';
import type { Instance } from './instance.ts';

export interface ElectedWork {
  /** Of the lease, the same in all processes. */
  readonly name: string;
  /** After this the one that died is replaced. */
  readonly leaseMs: number;
  /** How often the lease is looked at; well below {@link leaseMs}. */
  readonly everyMs: number;
  /** What the log says when a round fails; it comes again by itself. */
  readonly failed: string;
  /** Begins what runs for as long as this process is the one. */
  begin?(owner: string): AsyncDisposable | Promise<AsyncDisposable>;
  /** After each look at the lease, by whoever holds it and by the others. */
  round?(elected: boolean, signal: AbortSignal): Promise<void>;
  /** What else the elected one does from time to time; it does not throw. */
  readonly chores?: readonly { readonly everyMs: number; work(): Promise<void> }[];
}

export interface Elected {
  /** Looks now, or waits for the look under way. */
  look(): Promise<void>;
  /** Ends the work, then gives the lease to whoever comes next. */
  stop(): Promise<void>;
}

export function elect({ store, clock, log }: Pick<Instance, 'store' | 'clock' | 'log'>, work: ElectedWork): Elected {
  const owner = randomBytes(8).toString('hex');
  const stopping = new AbortController();
  const timers = new Set<Timer>();
  let lease: Lease | undefined;
  let begun: AsyncDisposable | undefined;
  let ending: Promise<void> | undefined;
  let looking: Promise<void> | undefined;
  /** One thing after the other. */
  let last: Promise<void> = Promise.resolve();

  const end = (): void => {
    const was = begun;
    begun = undefined;
    if (was)
      ending = Promise.resolve(was[Symbol.asyncDispose]())
        .catch(fail)
        .finally(() => (ending = undefined));
  };
  const fail = (error: unknown): void => {
    const { code, message } = asError(error);
    log.warn({ code, error: message }, work.failed);
  };
  const turn = async (): Promise<void> => {
    try {
      const held = lease ? await store.leases.renew(lease, work.leaseMs) : undefined;
      // Somebody else has it: what runs here must not go on.
      if (lease && !held) end();
      lease = held ?? (await store.leases.acquire(work.name, owner, work.leaseMs));
      // While what ran before is still ending, the next look begins it.
      if (lease && !begun && !ending && work.begin && !stopping.signal.aborted) begun = await work.begin(owner);
      await work.round?.(lease !== undefined, stopping.signal);
    } catch (error) {
      fail(error);
    }
  };
  const look = (): Promise<void> => {
    if (looking) return looking;
    looking = last.then(turn).finally(() => (looking = undefined));
    return (last = looking);
  };
  const every = (ms: number, what: () => void): void => {
    const timer = clock.after(ms, () => {
      timers.delete(timer);
      if (stopping.signal.aborted) return;
      every(ms, what);
      what();
    });
    timers.add(timer);
  };
  every(work.everyMs, () => void look());
  for (const chore of work.chores ?? [])
    every(chore.everyMs, () => {
      if (lease) last = last.then(() => chore.work()).catch(fail);
    });
  void look();

  return {
    look,
    async stop() {
      stopping.abort(new Error('the server stops'));
      for (const timer of timers) timer.cancel();
      await last;
      end();
      await ending;
      if (lease)
        await store.leases.release(lease).catch((error: unknown) => {
          log.debug({ code: asError(error).code }, 'a lease was left to run out');
        });
    },
  };
}
