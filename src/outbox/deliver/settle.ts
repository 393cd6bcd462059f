/** Outcomes become durable in groups: what waits when a commit begins goes together. */
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

export class Settler {
  readonly #table: Pick<OutboxTable, 'changeAll'>;
  #waiting: Waiting[] = [];
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
      await new Promise<void>((turn) => setImmediate(turn));
      const group = this.#waiting.splice(0, MOST);
      try {
        const changed = await this.#table.changeAll(group.map(({ settlement }) => settlement));
        for (const [at, { resolve }] of group.entries()) resolve(changed[at]);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#running = false;
  }
}
