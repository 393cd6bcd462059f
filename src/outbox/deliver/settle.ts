/**
 * Outcomes become durable in groups: what waits when a commit begins goes together. What is known of an attempt is kept until it is
 * written down, however long the database is away: doubt is for answers that nobody has.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { isAway, outlast } from '../../store/outlast.ts';
import type { MessageChange, NewMessageEvent, OutboxMessage, OutboxTable } from '../../store/types-outbox.ts';

export interface Settlement {
  readonly id: string;
  readonly fence: number;
  /** Number of the attempt whose end this process has seen: what somebody else could only guess of it meanwhile gives way. */
  readonly attempt?: number;
  readonly change: MessageChange;
  readonly events: readonly NewMessageEvent[];
}

export interface SettlerDeps {
  readonly table: Pick<OutboxTable, 'changeAll' | 'find'>;
  /** Names this process in claims. */
  readonly owner: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborted when this process waits no longer for its database. */
  readonly giveUp: AbortSignal;
}

interface Waiting {
  readonly settlement: Settlement;
  resolve(message: OutboxMessage | undefined): void;
  reject(error: unknown): void;
}

const MOST = 200;
const MAX_UNSETTLED = 50;
/** A larger group costs less for each: committing gets a seventh of the time, but nothing waits longer than this. */
const GATHER_TIMES = 6;
const GATHER_MS = 50;

export class Settler {
  readonly #deps: SettlerDeps;
  #waiting: Waiting[] = [];
  /** How long the last commit took. */
  #lastMs = 0;
  #running: Promise<void> | undefined;
  #away: PromiseWithResolvers<void> | undefined;

  constructor(deps: SettlerDeps) {
    this.#deps = deps;
  }

  /** The database did not take what was last given to it: nothing is begun whose outcome would have to wait as well. */
  get away(): boolean {
    return this.#away !== undefined;
  }

  /** Resolves when the database takes outcomes again, or is given up. */
  async back(): Promise<void> {
    await this.#away?.promise;
  }

  /**
   * Resolves when it is durable; undefined when somebody who knew more changed the message meanwhile.
   * @throws store.unavailable, store.full: given up before the database was back; what it throws otherwise
   */
  settle(settlement: Settlement): Promise<OutboxMessage | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ settlement, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing waits to be written down. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      await delay(Math.min(this.#lastMs * GATHER_TIMES, GATHER_MS));
      const begun = performance.now();
      await this.#write(this.#waiting.splice(0, MOST));
      this.#lastMs = performance.now() - begun;
    }
    this.#running = undefined;
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    const { table } = this.#deps;
    try {
      const changed = await this.outlast(() => table.changeAll(group.map(({ settlement }) => settlement)));
      for (const [at, { resolve, reject, settlement }] of group.entries()) {
        const message = changed[at];
        if (message) resolve(message);
        else await this.outlast(() => this.#reconcile(settlement)).then(resolve, reject);
      }
    } catch (error) {
      // What the database chokes on is one of them: the others are not to be lost with it.
      if (group.length > 1 && !isAway(error)) for (const each of group) await this.#write([each]);
      else for (const { reject } of group) reject(error);
    }
  }

  /** What has to be written before the outcome itself, or is learnt with it. @throws as {@link settle} */
  async outlast<T>(work: () => Promise<T>): Promise<T> {
    const { clock, giveUp, log } = this.#deps;
    const failed = (error: Error, failures: number): void => {
      this.#goAway();
      if (failures === 1)
        log.warn({ err: error }, 'outcomes of attempts wait in memory until the database takes them; nothing is lost');
    };
    try {
      return await outlast(work, { clock, signal: giveUp, failed });
    } finally {
      this.#away?.resolve();
      this.#away = undefined;
    }
  }

  #goAway(): void {
    this.#away ??= Promise.withResolvers();
  }

  /** The message is not as it was when the attempt began: who changed it, and who knows more? */
  async #reconcile({ attempt, change, events, fence, id }: Settlement): Promise<OutboxMessage | undefined> {
    const { owner, table } = this.#deps;
    for (;;) {
      const now = await table.find(id);
      if (!now) return undefined;
      // Written before, and the answer to the commit was lost.
      if (now.fence === fence + 1 && isSame(now, change)) return now;
      // The same claim: recipients were written down under it, and that answer was lost.
      const isOurs = now.fence === fence + 1 && now.state.type === 'sending' && now.state.owner === owner;
      // Somebody else took this attempt over, and could only guess how it ended.
      const isGuess = now.attempts === attempt && (now.state.type === 'sending' || now.state.type === 'queued');
      if (!isOurs && !isGuess) return undefined;
      const [changed] = await table.changeAll([{ id, fence: now.fence, change, events }]);
      if (changed) return changed;
    }
  }
}

/** Whether a change has left the message as it is. */
function isSame({ state, attempts }: OutboxMessage, change: MessageChange): boolean {
  if (change.attempts !== undefined && change.attempts !== attempts) return false;
  return JSON.stringify(change.state) === JSON.stringify(state);
}

/** Attempts on one connection whose outcomes are still being written down: so many, and no more, may be unknown after a crash. */
export class Unsettled {
  readonly #pending = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** Something could not be written down: nothing more is begun. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Resolves when the attempt is over and there is room for another. @throws what the attempt throws */
  async add(attempt: Promise<{ readonly settled: Promise<void> }>): Promise<void> {
    const { settled } = await attempt;
    const kept = settled
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => void this.#pending.delete(kept));
    this.#pending.add(kept);
    while (this.#pending.size >= MAX_UNSETTLED) await Promise.race(this.#pending);
  }

  /** @throws the first failure to write down */
  async end(): Promise<void> {
    await Promise.all(this.#pending);
    if (this.#failure) throw this.#failure.error;
  }
}
