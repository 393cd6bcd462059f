/** The pool of connections to PostgreSQL, for Kysely: one that has not answered in time is never used again. */
import type { PostgresCursor, PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import type pg from 'pg';

/** By pg's `query_timeout`, after which pg goes on with the next query behind the one that hangs. */
const NO_ANSWER = /^query read timeout$/i;

export function withoutSilent(pool: pg.Pool): PostgresPool {
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async () => new Connection(await pool.connect()),
  };
}

class Connection implements PostgresPoolClient {
  readonly #client: pg.PoolClient;
  /** What it has failed with for good. */
  #silent: unknown;

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  query<R>(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>>;
  query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>;
  query<R>(
    asked: string | PostgresCursor<R>,
    parameters: readonly unknown[] = [],
  ): Promise<PostgresQueryResult<R>> | PostgresCursor<R> {
    if (typeof asked !== 'string') throw new TypeError('cursors are not used');
    return this.#ask(asked, parameters);
  }

  async #ask<R>(sql: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>> {
    // A rollback would wait behind the query that hangs as long again.
    if (this.#silent !== undefined) throw this.#silent;
    try {
      const { command, rowCount, rows } = await this.#client.query(sql, [...parameters]);
      return { command: command as PostgresQueryResult<R>['command'], rowCount: rowCount ?? 0, rows };
    } catch (error) {
      if (error instanceof Error && NO_ANSWER.test(error.message)) this.#silent = error;
      throw error;
    }
  }

  release(destroy = false): void {
    this.#client.release(destroy || this.#silent !== undefined);
  }
}
