/** SQLite with a thread for everything that writes: a commit waits for the disk, and nobody else has to. */
import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import type { Clock } from '../base/clock.ts';
import { asError, isError, type PosternError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import { type Along, along } from './along.ts';
import { storeError } from './errors.ts';
import { type Opened, openSqliteReader } from './sqlite.ts';
import type { Answer, Failure, Order } from './sqlite-writer.ts';
import { takeWriter } from './writer-thread.ts';
import { READS, type Tables, tablesOn } from './tables.ts';
import type { Topic } from './types.ts';

/** As {@link openSqlite}: this thread reads by a connection of its own, which cannot write. */
export async function openSqliteThread(
  path: string,
  clock: Clock,
  log: Log,
  lost?: (error: PosternError) => void,
  damaged?: (error: PosternError) => void,
): Promise<Opened & { readonly tables: Tables }> {
  let committed: (topic: Topic) => void = () => undefined;
  const writer = await Writer.start(path, clock, (topic) => committed(topic), lost, damaged);
  try {
    const { engine, watchers, close } = openSqliteReader(path, clock, log, damaged);
    committed = watchers.committed;
    return {
      engine,
      tables: throughWriter(tablesOn(engine), writer),
      watchers,
      async close() {
        await close();
        await writer.close();
      },
    };
  } catch (error) {
    await writer.close();
    throw error;
  }
}

function throughWriter(tables: Tables, writer: Writer): Tables {
  const all = Object.entries(tables).map(([table, methods]) => {
    const reads = READS[table as keyof Tables] as readonly string[];
    const own = methodsOf(methods).map(([method, read]) => [
      method,
      reads.includes(method) ? read : (...args: readonly unknown[]) => writer.call(table, method, args),
    ]);
    return [table, Object.fromEntries(own)];
  });
  return Object.fromEntries(all) as Tables;
}

function methodsOf(table: object): [string, unknown][] {
  return Object.entries(table);
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: unknown): void;
  /** What it takes along. */
  readonly takes: Along | undefined;
}

class Writer {
  readonly #thread: Worker;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Waiting>();
  #count = 0;
  #ended: Error | undefined;
  #closing = false;
  readonly #lost: ((error: PosternError) => void) | undefined;
  readonly #damaged: ((error: PosternError) => void) | undefined;

  private constructor(
    thread: Worker,
    clock: Clock,
    committed: (topic: Topic) => void,
    lost: ((error: PosternError) => void) | undefined,
    damaged: ((error: PosternError) => void) | undefined,
  ) {
    this.#damaged = damaged;
    this.#thread = thread;
    this.#lost = lost;
    this.#clock = clock;
    thread.on('message', (answer: Answer) => {
      if (answer.type === 'ready') return;
      for (const topic of answer.committed) committed(topic);
      this.#settle(answer);
    });
    thread.on('error', (error) => this.#end(error));
    thread.on('exit', () => this.#end());
    thread.unref();
  }

  /** Opens the file there, creating and upgrading it. @throws as {@link openSqlite} */
  static async start(
    path: string,
    clock: Clock,
    committed: (topic: Topic) => void,
    lost?: (error: PosternError) => void,
    damaged?: (error: PosternError) => void,
  ): Promise<Writer> {
    const thread = takeWriter();
    thread.ref();
    thread.postMessage({ type: 'open', path, now: clock.now() } satisfies Order);
    const [first] = (await once(thread, 'message')) as [Answer];
    if (first.type === 'failed') {
      await once(thread, 'exit');
      throw asOurs(first.failure);
    }
    return new Writer(thread, clock, committed, lost, damaged);
  }

  call(table: string, method: string, args: readonly unknown[]): Promise<unknown> {
    if (this.#ended) return Promise.reject(gone(this.#ended));
    const id = ++this.#count;
    const records = along.getStore();
    const takes = records?.recorded === false ? records : undefined;
    const order: Order = {
      type: 'call',
      id,
      table,
      method,
      args,
      along: takes && { entries: takes.entries, key: takes.key },
      now: this.#clock.now(),
    };
    return new Promise((resolve, reject) => {
      this.#thread.postMessage(order);
      // The process may end while nobody waits, and must not while somebody does.
      if (this.#waiting.size === 0) this.#thread.ref();
      this.#waiting.set(id, { resolve, reject, takes });
    });
  }

  /** After everything asked for is done. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#closing = true;
    const exit = once(this.#thread, 'exit');
    this.#thread.ref();
    this.#thread.postMessage({ type: 'close' } satisfies Order);
    await exit;
  }

  #settle(answer: Exclude<Answer, { type: 'ready' }>): void {
    const waiting = this.#waiting.get(answer.id);
    if (!waiting) return;
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#thread.unref();
    if (answer.type === 'done' && answer.recorded && waiting.takes) waiting.takes.recorded = true;
    if (answer.type === 'done') waiting.resolve(answer.result);
    else {
      const failure = asOurs(answer.failure);
      if (isError(failure, 'store.damaged')) this.#damaged?.(failure);
      waiting.reject(failure);
    }
  }

  #end(error = new Error('the thread of the database ended')): void {
    const first = this.#ended === undefined;
    this.#ended ??= error;
    for (const { reject } of this.#waiting.values()) reject(gone(this.#ended));
    this.#waiting.clear();
    if (!this.#closing && first) this.#lost?.(gone(this.#ended));
  }
}

function gone(cause: Error): PosternError {
  return storeError('store.unavailable', 'the database is closed', {
    hint: 'start Postern again; the log has more',
    cause,
  });
}

/** A failure that crossed from the other thread. */
function asOurs({ code, message, hint, detail, cause }: Failure): Error {
  if (!isCode(code)) return asError(cause);
  return storeError(code, message, { hint, detail, ...(cause === undefined ? {} : { cause }) });
}

function isCode(code: string): code is keyof typeof storeError.table {
  return code in storeError.table;
}
