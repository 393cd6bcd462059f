/** One opened database, whichever it is: what the tables need of it. */
import { type Kysely, sql, type RawBuilder, type Transaction } from 'kysely';
import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '../base/backoff.ts';
import type { PosternError } from '../base/error.ts';
import { along } from './along.ts';
import { appendRecords } from './audit-append.ts';
import { isCollision, storeFailure } from './failure.ts';
import { type Dialect, migrations } from './migrations.ts';
import { storeError } from './errors.ts';
import type { Schema } from './schema.ts';
import type { Topic } from './types.ts';

export interface Engine {
  readonly name: 'sqlite' | 'postgres';
  readonly db: Kysely<Schema>;
  /**
   * The time leases are judged by. SQLite: the injected clock, since all users are on this machine. PostgreSQL: the
   * database's own, since the clocks of several machines differ and a fast one would steal leases.
   */
  readonly leaseTime: () => RawBuilder<number>;
  /** Runs `work` in one durable transaction; when it says so, everybody watching `topic` hears of it after the commit. */
  write<T>(topic: Topic | undefined, work: (trx: Transaction<Schema>) => Promise<Written<T>>): Promise<T>;
  /**
   * To be asked before so many octets are taken in from outside: room for finishing what was begun has to be left.
   * @throws store.full
   */
  admit(octets: number): Promise<void>;
  /** Runs a query, with the driver's failures as ours. */
  read<T>(work: (db: Kysely<Schema>) => Promise<T>): Promise<T>;
}

/** What a transaction gave, and whether it changed something others watch. */
export interface Written<T> {
  readonly result: T;
  readonly changed: boolean;
}

export interface EngineParts {
  readonly name: Engine['name'];
  readonly db: Kysely<Schema>;
  readonly leaseTime: Engine['leaseTime'];
  /** Inside the transaction, after the revision was raised: PostgreSQL tells the other machines. */
  readonly announce?: (trx: Transaction<Schema>, topic: Topic) => Promise<void>;
  /** Absent: the database looks after its disk itself. */
  readonly admit?: (octets: number) => Promise<void>;
  /** After the commit: this process's own watchers. */
  readonly committed: (topic: Topic) => void;
  /** Waits; of the machine's timers unless given. */
  readonly pause?: (ms: number) => Promise<unknown>;
  /** Hears of every failure that says the database is damaged. */
  readonly damaged?: ((error: PosternError) => void) | undefined;
}

/** One after the other of as many that want the same rows. */
const MAX_COLLISIONS = 5;
/** Those that collided come again one by one. A transaction takes milliseconds; all pauses together stay below half a second. */
const AFTER_COLLISION = { baseMs: 10, maxMs: 200 };

export function makeEngine(parts: EngineParts): Engine {
  const { db, damaged, pause = delay } = parts;
  const attempt = async <T>(work: () => Promise<T>): Promise<T> => {
    for (let collisions = 0; ;) {
      try {
        return await work();
      } catch (error) {
        // PostgreSQL has taken all of it back, so that the other transaction could go on.
        if (parts.name === 'postgres' && isCollision(error) && collisions < MAX_COLLISIONS - 1) {
          await pause(backoffMs(collisions++, AFTER_COLLISION));
          continue;
        }
        const failure = storeFailure(error);
        if (failure.code === 'store.damaged') damaged?.(failure);
        throw failure;
      }
    }
  };
  return {
    name: parts.name,
    db,
    leaseTime: parts.leaseTime,
    async write(topic, work) {
      const records = along.getStore();
      const takes = records?.recorded === false ? records : undefined;
      const done = await attempt(() =>
        db.transaction().execute(async (trx) => {
          const written = await work(trx);
          if (topic !== undefined && written.changed) {
            await trx
              .updateTable('revisions')
              .set({ revision: sql`revision + 1` })
              .where('topic', '=', topic)
              .execute();
            await parts.announce?.(trx, topic);
          }
          if (takes && written.changed) await appendRecords(parts.name, trx, takes.entries, takes.key);
          return written;
        }),
      );
      if (takes && done.changed) takes.recorded = true;
      if (topic !== undefined && done.changed) parts.committed(topic);
      return done.result;
    },
    admit: (octets) => parts.admit?.(octets) ?? Promise.resolve(),
    read: (work) => attempt(() => work(db)),
  };
}

/**
 * Brings the tables up to date inside the given transaction, which must already exclude other writers, so that any number
 * of processes may start at once. @throws store.newer when the database knows migrations that we do not
 */
export async function migrate(trx: Kysely<Schema>, dialect: Dialect, now: number): Promise<void> {
  await sql
    .raw(
      `CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied_at ${dialect.integer} NOT NULL)${dialect.table}`,
    )
    .execute(trx);
  const applied = new Set((await trx.selectFrom('migrations').select('name').execute()).map((row) => row.name));
  const unknown = [...applied].filter((name) => !migrations.some((migration) => migration.name === name));
  if (unknown.length > 0) {
    throw storeError(
      'store.newer',
      `the database has been upgraded to ${unknown.sort().at(-1)}, which this version does not know`,
    );
  }
  for (const migration of migrations) {
    if (applied.has(migration.name)) continue;
    for (const statement of migration.up(dialect)) await sql.raw(statement).execute(trx);
    await trx.insertInto('migrations').values({ name: migration.name, applied_at: now }).execute();
  }
}
