/** PostgreSQL by way of pg: a pool for queries and one connection that listens. */
import { CompiledQuery, Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { Secret } from '../base/secret.ts';
import { makeEngine, migrate } from './engine.ts';
import { storeError } from './errors.ts';
import { storeFailure } from './failure.ts';
import { listen, NOTIFY_CHANNEL } from './postgres-listen.ts';
import { withoutSilent } from './postgres-pool.ts';
import { postgresTypes } from './migrations.ts';
import type { Schema } from './schema.ts';
import type { Opened } from './sqlite.ts';
import { makeWatchers } from './watch.ts';

/**
 * Opens the database behind `url`. The URL, which may hold a password, appears in no error.
 *
 * @param silentMs how long a query may go without an answer
 * @throws as {@link openSqlite}
 */
export async function openPostgres(url: string, clock: Clock, log: Log, silentMs = SILENT_MS): Promise<Opened> {
  const config = connection(url, silentMs);
  const pool = new pg.Pool({ ...config, max: POOL, idleTimeoutMillis: 60_000 });
  // A connection that breaks is replaced by the pool at the next query. Without listeners it would end the process: the pool's
  // hears of idle ones, the connection's own of those in use between two queries of a transaction, whose next query fails.
  pool.on('error', (error) => log.warn({ err: storeFailure(error) }, 'an idle database connection broke'));
  pool.on('connect', (client) => {
    client.on('error', (error) => log.debug({ err: storeFailure(error) }, 'a database connection broke'));
  });
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: withoutSilent(pool) }) });
  try {
    await db.transaction().execute(async (trx) => {
      await trx.executeQuery(CompiledQuery.raw(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`));
      await migrate(trx, postgresTypes, clock.now());
    });
    const watchers = makeWatchers(
      log,
      () => void (ear ??= listen(config, clock, log, watchers)),
      () => {
        ear?.stop();
        ear = undefined;
      },
    );
    let ear: { stop(): void } | undefined;
    watchers.observed(await db.selectFrom('revisions').selectAll().execute());
    const engine = makeEngine({
      name: 'postgres',
      db,
      leaseTime: () => sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`,
      async announce(trx, topic) {
        await sql`SELECT pg_notify(${NOTIFY_CHANNEL}, ${topic})`.execute(trx);
      },
      committed: watchers.committed,
    });
    return {
      engine,
      watchers,
      async close() {
        ear?.stop();
        await db.destroy();
      },
    };
  } catch (error) {
    await db.destroy();
    throw storeFailure(error);
  }
}

/** Connections per process. Queries are short, so a few serve many sessions; PostgreSQL's default allows 100 in all. */
const POOL = 8;
/** A query that takes longer means a half-open connection, which only a time limit can tell. */
const SILENT_MS = 15_000;
/** Any number nobody else takes: `postern` in ASCII digits. Keeps processes that start together from migrating together. */
const MIGRATION_LOCK = '80111115116';

function connection(url: string, silentMs: number): pg.ClientConfig {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    // The parser's own error quotes the whole URL, password included: it must not become the cause.
    throw storeError('store.misconfigured', 'the PostgreSQL URL cannot be read', {
      hint: 'write postgres://user:password@host:5432/name, with special characters in the password percent-encoded',
    });
  }
  // Known to the scrubber from here on, whoever quotes it.
  if (parsed.password !== '') passwords.add(new Secret(decode(parsed.password)));
  return {
    connectionString: url,
    application_name: 'postern',
    connectionTimeoutMillis: 5_000,
    query_timeout: silentMs,
    keepAlive: true,
    types: { getTypeParser },
  };
}

/** Held for the life of the process: the scrubber knows a value as long as its Secret lives. */
const passwords = new Set<Secret>();

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** PostgreSQL's type number of bigint, which pg gives as text; all of ours are below 2^53. */
const INT8: number = pg.types.builtins.INT8;

const getTypeParser: typeof pg.types.getTypeParser = (oid: number, format?: 'text' | 'binary') =>
  oid === INT8 && format !== 'binary' ? Number : pg.types.getTypeParser(oid, format);
