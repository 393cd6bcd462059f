/** Many messages, one fsync: what waits when a commit begins goes together. */
import { isError } from '../base/error.ts';
import type { Insertion, NewMessage, OutboxTable } from '../store/types-outbox.ts';

/** Together in one transaction, at most. */
const MAX_MESSAGES = 200;
const MAX_OCTETS = 16 * 1024 * 1024;

interface Waiting {
  readonly message: NewMessage;
  readonly octets: number;
  resolve(insertion: Insertion): void;
  reject(error: unknown): void;
}

/**
 * Commits messages in groups. While one group is written the next one gathers; the first goes alone, because what waits for
 * company holds up all who come after it.
 */
export class GroupCommit {
  readonly #insert: OutboxTable['insert'];
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  readonly #confirm: () => void;

  /** @param confirm throws when what has been written is not where it will be looked for: asked before and after each commit */
  constructor(insert: OutboxTable['insert'], confirm: () => void = () => undefined) {
    this.#insert = insert;
    this.#confirm = confirm;
  }

  /** Resolves when the message is durable. @throws store.* */
  add(message: NewMessage): Promise<Insertion> {
    const octets = message.chunks.reduce((sum, { data }) => sum + data.length, 0);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, octets, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#take();
      try {
        const insertions = await this.#write(group.map(({ message }) => message));
        if (this.#refused(group)) continue;
        for (const [index, { resolve }] of group.entries()) resolve(insertions[index]!);
      } catch (error) {
        // The database is away: whoever comes after would wait for the same answer once more.
        if (isError(error, 'store.unavailable'))
          for (const each of [...group, ...this.#waiting.splice(0)]) each.reject(error);
        else if (group.length === 1) group[0]!.reject(error);
        // One message may be what the database chokes on (its size, a full disk): the others get their own chance.
        else for (const each of group) await this.#alone(each);
      }
    }
    this.#running = undefined;
  }

  /** Async, so that a refusal is a rejection: {@link add} has to know of the run before it is over. */
  async #write(messages: readonly NewMessage[]): Promise<readonly Insertion[]> {
    this.#confirm();
    return this.#insert(messages);
  }

  /** Written, yet not to be acknowledged. */
  #refused(group: readonly Waiting[]): boolean {
    try {
      this.#confirm();
      return false;
    } catch (error) {
      for (const { reject } of group) reject(error);
      return true;
    }
  }

  async #alone({ message, resolve, reject }: Waiting): Promise<void> {
    try {
      const [insertion] = await this.#write([message]);
      this.#confirm();
      resolve(insertion!);
    } catch (error) {
      reject(error);
    }
  }

  #take(): Waiting[] {
    let octets = 0;
    let count = 0;
    while (count < this.#waiting.length && count < MAX_MESSAGES && (count === 0 || octets < MAX_OCTETS))
      octets += this.#waiting[count++]!.octets;
    return this.#waiting.splice(0, count);
  }
}
