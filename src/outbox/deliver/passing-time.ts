/**
 * Time as delivery has lived through it. The time of day may be set, the machine may sleep, the process may be stopped: in that
 * time nothing could be tried, so deadlines are moved by it, and what was put off by a clock that ran ahead is due now.
 */
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { type JumpWatch, watchForJumps } from '../../oauth/jump-watch.ts';
import { CLOCK_TOLERANCE_MS } from '../../oauth/schedule.ts';
import type { Ahead, OutboxMessage } from '../../store/types-outbox.ts';
import type { Store } from '../../store/types.ts';
import { inLedger } from '../../store/ledger.ts';
import { DEADLINE_MS } from '../new-message.ts';
import { MAX_ASKED_MS } from './retry.ts';

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
const MAX_PUT_OFF_MS = MAX_ASKED_MS + 2 * 3_600_000;
/** The clock that runs ahead may be another machine's: its mail is looked for without any sign of it here. */
const RECALL_MS = 10 * 60_000;

/** By what it is told that mail was dated by a clock that ran ahead. */
export function aheadOf(now: number): Ahead {
  return { now, latest: now + MAX_PUT_OFF_MS, tolerated: now + CLOCK_TOLERANCE_MS, keepMs: DEADLINE_MS };
}

export class PassingTime {
  readonly #deps: PassingTimeDeps;
  readonly #jumps: JumpWatch;
  /** The last look; undefined before the first. */
  #aliveAt: number | undefined;
  #storedAt = 0;
  #recalledAt = 0;

  constructor(deps: PassingTimeDeps) {
    this.#deps = deps;
    this.#jumps = watchForJumps(deps.clock);
  }

  /** The deadline of a message, moved by what was not lived through. @throws store.unavailable */
  async deadline({ deadline, id }: Pick<OutboxMessage, 'id' | 'deadline'>): Promise<number> {
    const { clock, log, store } = this.#deps;
    await this.#notice(clock.now(), log);
    return (await store.outbox.find(id))?.deadline ?? deadline;
  }

  /** At every look for work, before anything is claimed. @throws store.unavailable */
  async look(): Promise<{ readonly first: boolean; readonly jumped: boolean }> {
    const { clock, log, store } = this.#deps;
    const { outbox } = store;
    const now = clock.now();
    const first = this.#aliveAt === undefined;
    this.#aliveAt ??= numberIn(await outbox.entry(ALIVE)) ?? now;
    await this.#notice(now, log);
    const jump = this.#jumps.look();
    if (jump !== 0)
      log.warn(
        { bySeconds: Math.round(jump / 1000) },
        'the clock was set or the machine slept: all that waits is looked at',
      );
    if (first || jump !== 0 || Math.abs(now - this.#recalledAt) >= RECALL_MS) {
      this.#recalledAt = now;
      const recalled = await outbox.recall(aheadOf(now));
      if (recalled > 0) log.warn({ messages: recalled }, 'mail was dated by a clock that ran ahead; it is due now');
    }
    if (Math.abs(now - this.#storedAt) >= ALIVE_MS) {
      this.#storedAt = now;
      await inLedger(outbox, ALIVE, () => ({ entry: String(now), result: undefined }));
    }
    return { first, jumped: jump !== 0 };
  }

  async #notice(now: number, log: Log): Promise<void> {
    const before = this.#aliveAt ?? now;
    this.#aliveAt = now;
    if (now - before <= GAP_MS) return;
    try {
      await this.#deps.store.outbox.prolongDeadlines({ from: before, to: now });
    } catch (error) {
      // Not moved: the next look counts this time as well.
      this.#aliveAt = before;
      throw error;
    }
    const seconds = Math.round((now - before) / 1000);
    log.info({ seconds }, 'nothing could be sent for a while; deadlines are moved by that');
  }
}

function numberIn(text: string | undefined): number | undefined {
  const found = Number(text);
  return text === undefined || !Number.isFinite(found) ? undefined : found;
}
