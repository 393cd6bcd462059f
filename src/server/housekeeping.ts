/** What one process does for the whole installation from time to time: old audit records go, and the disk gets its space back. */
import { asError } from '../base/error.ts';
import { elect, type Elected } from './elected.ts';
import type { Instance } from './instance.ts';

type Deps = Pick<Instance, 'audit' | 'auditKey' | 'clock' | 'config' | 'log' | 'store'>;

const LEASE_MS = 90_000;
const RENEW_MS = 30_000;
const EVERY_MS = 3_600_000;
/** Records per transaction: some milliseconds, so that sign-ins and mail do not wait. */
const AT_ONCE = 500;
/** Octets of the file per step: some ten milliseconds, for the same reason. */
const STEP = 4 * 1024 * 1024;
/** What the file keeps for the next day's work, as a part of it; giving all back would have it grow again at once. */
const RESERVE = 0.1;
const LEAST_RESERVE = 16 * 1024 * 1024;

export function startHousekeeping(instance: Deps): Elected {
  const stopping = new AbortController();
  const elected = elect(instance, {
    name: 'housekeeping',
    leaseMs: LEASE_MS,
    everyMs: RENEW_MS,
    failed: 'housekeeping could not be done; it comes again',
    chores: [
      {
        everyMs: EVERY_MS,
        work: async () => {
          await forgetOldRecords(instance, stopping.signal);
          await giveSpaceBack(instance, stopping.signal);
        },
      },
    ],
  });
  return {
    look: () => elected.look(),
    stop() {
      stopping.abort();
      return elected.stop();
    },
  };
}

/** Removes audit records older than `audit.keepDays`, and says so in the log itself. */
export async function forgetOldRecords(
  { audit, auditKey, clock, config, log, store }: Deps,
  signal?: AbortSignal,
): Promise<number> {
  const before = clock.now() - config.audit.keepDays * 86_400_000;
  let records = 0;
  try {
    for (;;) {
      const { forgotten, intact } = await store.audit.forget(before, AT_ONCE, auditKey);
      records += forgotten;
      if (!intact)
        log.error({}, 'old audit records stay, because the audit log does not hold together: postern audit verify');
      if (forgotten < AT_ONCE || signal?.aborted) break;
    }
  } catch (error) {
    log.warn({ code: asError(error).code }, 'old audit records could not be removed; it is tried again in an hour');
  }
  if (records > 0) {
    const last = (await store.audit.head())?.anchor?.seq ?? 0;
    await audit.record({
      type: 'audit.forgotten',
      outcome: 'ok',
      data: { records, last, keepDays: config.audit.keepDays },
    });
    log.info({ records, last }, 'old audit records were removed');
  }
  return records;
}

/** Gives free pages of an SQLite file back to the disk, in steps, until a reserve is left. @returns octets */
export async function giveSpaceBack(
  { log, store }: Pick<Deps, 'log' | 'store'>,
  signal?: AbortSignal,
): Promise<number> {
  let given = 0;
  try {
    for (;;) {
      const { octets, free, gives } = await store.space.state();
      const tooMuch = free - Math.max(LEAST_RESERVE, (octets - free) * RESERVE);
      if (gives !== 'while running' || tooMuch < STEP || signal?.aborted) break;
      const step = await store.space.release(STEP);
      given += step;
      if (step === 0) break;
    }
  } catch (error) {
    log.warn({ code: asError(error).code }, 'space could not be given back; it is tried again in an hour');
  }
  if (given > 0) log.info({ octets: given }, 'space was given back to the disk');
  return given;
}
