/**
 * Time as delivery has lived through it. The time of day may be set, the machine may sleep, the process may be stopped: in that
 * time nothing could be tried, so deadlines are moved by it, and what was put off by a clock that ran ahead is due now.
 */
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { type JumpWatch, watchForJumps } from '../../oauth/jump-watch.ts';
import type { Store } from '../../store/types.ts';
import { inLedger } from '../ledger.ts';

export interface PassingTimeDeps {
  readonly store: Pick<Store, 'outbox'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Where it is written down that delivery runs: milliseconds since the epoch. */
export const ALIVE = 'delivery/alive';
/** How often. */
const ALIVE_MS = 30_000;
/** Without a look for so long nothing could be tried; looks are at most 30 seconds apart. */
const GAP_MS = 90_000;
/** What is put off by itself, not by its sender, is due within this: the longest step with its scatter, and what a server asked. */
const MOST_PUT_OFF_MS = 25 * 3_600_000;

export class PassingTime {
  readonly #deps: PassingTimeDeps;
  readonly #jumps: JumpWatch;
  /** The last look; undefined before the first. */
  #aliveAt: number | undefined;
  #storedAt = 0;

  constructor(deps: PassingTimeDeps) {
    this.#deps = deps;
    this.#jumps = watchForJumps(deps.clock);
  }

  /** At every look for work, before anything is claimed. @throws store.unavailable */
  async look(): Promise<{ readonly first: boolean; readonly jumped: boolean }> {
    const { clock, log, store } = this.#deps;
    const { outbox } = store;
    const now = clock.now();
    const first = this.#aliveAt === undefined;
    const before = this.#aliveAt ?? numberIn(await outbox.entry(ALIVE)) ?? now;
    this.#aliveAt = now;
    const jump = this.#jumps.look();
    if (now - before > GAP_MS) {
      await outbox.prolongDeadlines({ from: before, to: now });
      const seconds = Math.round((now - before) / 1000);
      log.info({ seconds }, 'nothing could be sent for a while; deadlines are moved by that');
    }
    if (jump !== 0)
      log.warn(
        { bySeconds: Math.round(jump / 1000) },
        'the clock was set or the machine slept: all that waits is looked at',
      );
    if (first || jump !== 0) {
      const recalled = await outbox.recall({ now, latest: now + MOST_PUT_OFF_MS });
      if (recalled > 0) log.warn({ messages: recalled }, 'mail was put off by a clock that ran ahead; it is due now');
    }
    if (Math.abs(now - this.#storedAt) >= ALIVE_MS) {
      this.#storedAt = now;
      await inLedger(outbox, ALIVE, () => ({ entry: String(now), result: undefined }));
    }
    return { first, jumped: jump !== 0 };
  }
}

function numberIn(text: string | undefined): number | undefined {
  const found = Number(text);
  return text === undefined || !Number.isFinite(found) ? undefined : found;
}
