/** The thread that writes to a SQLite file: does what it is told, in order, and says what came of it. */
import { once } from 'node:events';
import { parentPort } from 'node:worker_threads';
import { type Clock, systemClock } from '../base/clock.ts';
import { collectWhenQuiet } from '../base/collection.ts';
import { asError } from '../base/error.ts';
import { nullLog } from '../base/log.ts';
import { type Along, along } from './along.ts';
import { storeFailure } from './failure.ts';
import { openSqlite } from './sqlite.ts';
import { type Tables, tablesOn } from './tables.ts';
import type { Topic } from './types.ts';

export type Order =
  /** The first one. */
  | { readonly type: 'open'; readonly path: string; readonly now: number }
  | {
      readonly type: 'call';
      readonly id: number;
      readonly table: string;
      readonly method: string;
      readonly args: readonly unknown[];
      /** Records of the audit log that belong to it. */
      readonly along: Pick<Along, 'entries' | 'key'> | undefined;
      /** The asker's time, which tests and the sandbox move. */
      readonly now: number;
    }
  | { readonly type: 'close' };

/** `committed`: what has changed since the last answer; that of the call itself is never later than its answer. */
export type Answer =
  | { readonly type: 'ready' }
  | {
      readonly type: 'done';
      readonly id: number;
      readonly result: unknown;
      readonly committed: readonly Topic[];
      /** What belongs to it was recorded. */
      readonly recorded: boolean;
    }
  | { readonly type: 'failed'; readonly id: number; readonly failure: Failure; readonly committed: readonly Topic[] };

/** A {@link PosternError} in pieces that can be sent. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly cause: unknown;
}

const port = parentPort!;
const say = (answer: Answer): void => port.postMessage(answer);
let changed: Topic[] = [];
const committed = (): readonly Topic[] => {
  const topics = changed;
  changed = [];
  return topics;
};
const [given] = (await once(port, 'message')) as [Extract<Order, { type: 'open' }>];
let time = given.now;
const clock: Clock = { ...systemClock, now: () => time };

try {
  const { engine, close } = await openSqlite(given.path, clock, nullLog, (topic) => changed.push(topic));
  const methods = methodsOf(tablesOn(engine));
  const running = new Set<Promise<void>>();
  const collecting = collectWhenQuiet();
  const run = async ({
    id,
    table,
    method,
    args,
    along: given,
    now,
  }: Extract<Order, { type: 'call' }>): Promise<void> => {
    time = now;
    try {
      const records = given && { ...given, recorded: false };
      const call = (): Promise<unknown> => methods.get(`${table}.${method}`)!(...args);
      const result = await (records ? along.run(records, call) : call());
      say({ type: 'done', id, result, committed: committed(), recorded: records?.recorded === true });
    } catch (error) {
      say({ type: 'failed', id, failure: failureOf(error), committed: committed() });
    }
  };
  port.on('message', (order: Order) => {
    if (order.type === 'call') {
      const done = run(order).finally(() => running.delete(done));
      running.add(done);
    } else if (order.type === 'close') {
      port.removeAllListeners('message');
      collecting.stop();
      void Promise.all(running)
        .then(close)
        .finally(() => port.close());
    }
  });
  say({ type: 'ready' });
} catch (error) {
  say({ type: 'failed', id: 0, failure: failureOf(storeFailure(error)), committed: [] });
  port.close();
}

type Method = (...args: readonly unknown[]) => Promise<unknown>;

function methodsOf(tables: Tables): ReadonlyMap<string, Method> {
  const all = Object.entries(tables).flatMap(([table, methods]: [string, object]) =>
    Object.entries(methods).map(([name, method]: [string, Method]): [string, Method] => [`${table}.${name}`, method]),
  );
  return new Map(all);
}

function failureOf(error: unknown): Failure {
  const { code, message, hint, detail, cause } = asError(error);
  return { code, message, hint, detail, cause: cause instanceof Error ? cause : undefined };
}
