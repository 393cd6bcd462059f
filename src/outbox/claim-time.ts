/**
 * The time idempotency keys end by. The time of day may be set forward, by accident or to be corrected, and must not end keys that
 * were used a minute ago: a request that is repeated then would be sent twice. So on one machine it is counted by the time since the
 * machine started, which goes on while it sleeps; machines that share a PostgreSQL database go by the clock of that.
 */
import type { Clock } from '../base/clock.ts';
import { inLedger } from '../store/ledger.ts';
import type { Store } from '../store/types.ts';

/** Where it is written down how the two go together: a restart goes on from there. */
const ENTRY = 'outbox/claim-time';

interface Mark {
  /** The time keys end by, milliseconds; about the time of day. */
  readonly at: number;
  readonly uptime: number;
  readonly timeOfDay: number;
}

export class ClaimTime {
  readonly #store: Pick<Store, 'engine' | 'outbox'>;
  readonly #clock: Clock;
  #mark: Promise<Mark> | undefined;

  constructor(store: Pick<Store, 'engine' | 'outbox'>, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Milliseconds since the epoch, less what the time of day was set forward. PostgreSQL goes by its own. @throws store.unavailable */
  async now(): Promise<number> {
    if (this.#store.engine === 'postgres') return this.#clock.now();
    // Every process of this machine reckons from the same mark, so they agree.
    this.#mark ??= this.keep().catch((error: unknown) => {
      this.#mark = undefined;
      throw error;
    });
    const { at, uptime } = await this.#mark;
    return at + this.#uptime() - uptime;
  }

  /** Writes down where it stands, for the next start of the machine. @throws store.unavailable */
  async keep(): Promise<Mark> {
    return inLedger(this.#store.outbox, ENTRY, (entry) => {
      const before = entry === undefined ? undefined : (JSON.parse(entry) as Mark);
      const [uptime, timeOfDay] = [this.#uptime(), this.#clock.now()];
      const mark = { at: before ? goneOn(before, uptime, timeOfDay) : timeOfDay, uptime, timeOfDay };
      return { entry: JSON.stringify(mark), result: mark };
    });
  }

  #uptime(): number {
    return this.#clock.uptime?.() ?? this.#clock.now();
  }
}

/** After the machine was started again, the time of day is all there is; it may have been wrong, but time does not go back. */
function goneOn(before: Mark, uptime: number, timeOfDay: number): number {
  const sameStart = uptime >= before.uptime;
  return before.at + (sameStart ? uptime - before.uptime : Math.max(0, timeOfDay - before.timeOfDay));
}
