/** Outcomes become durable in groups: what waits when a commit begins goes together. */
import { setTimeout as delay } from 'node:timers/promises';
import type { MessageChange, NewMessageEvent, OutboxMessage, OutboxTable } from '../../store/types-outbox.ts';

export interface Settlement {
  readonly id: string;
  readonly fence: number;
  readonly change: MessageChange;
  readonly events: readonly NewMessageEvent[];
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
  readonly #table: Pick<OutboxTable, 'changeAll'>;
  #waiting: Waiting[] = [];
  /** How long the last commit took. */
  #lastMs = 0;
  #running = false;

  constructor(table: Pick<OutboxTable, 'changeAll'>) {
    this.#table = table;
  }

  /** Resolves when it is durable; undefined when the message changed meanwhile. @throws store.unavailable */
  settle(settlement: Settlement): Promise<OutboxMessage | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ settlement, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      await delay(Math.min(this.#lastMs * GATHER_TIMES, GATHER_MS));
      const group = this.#waiting.splice(0, MOST);
      const begun = performance.now();
      try {
        const changed = await this.#table.changeAll(group.map(({ settlement }) => settlement));
        for (const [at, { resolve }] of group.entries()) resolve(changed[at]);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
      this.#lastMs = performance.now() - begun;
    }
    this.#running = false;
  }
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
