import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startDatabaseProxy } from '../../test/bed/database-proxy.ts';
import { without } from '../../test/bed/need.ts';
import { type Postgres, startPostgres } from '../../test/bed/postgres.ts';
import { systemClock } from '../base/clock.ts';
import { isError } from '../base/error.ts';
import { nullLog } from '../base/log.ts';
import { openPostgres } from './postgres.ts';

const noPostgres = without('postgresql');
let postgres: Postgres | undefined;
before(async () => {
  if (noPostgres === false) postgres = await startPostgres();
});
after(() => postgres?.stop());

test(
  'R2: a connection that does not answer is never used again, by a question or in a transaction',
  { skip: noPostgres },
  async (t) => {
    const proxy = await startDatabaseProxy(await postgres!.freshDatabase());
    const { engine, close } = await openPostgres(proxy.url, systemClock, nullLog, 500);
    t.after(async () => {
      await close();
      await proxy.close();
    });
    const ask = (): Promise<unknown> => engine.read((db) => db.selectFrom('settings').selectAll().execute());
    const write = (): Promise<unknown> =>
      engine.write(undefined, async (trx) => ({
        result: await trx.selectFrom('settings').selectAll().execute(),
        changed: false,
      }));
    const unavailable = (error: unknown): boolean => isError(error, 'store.unavailable');

    for (const work of [ask, write]) {
      await work();
      proxy.freeze();
      await assert.rejects(work(), unavailable);
      // One connection was open: everything after it has a new one.
      for (let at = 0; at < 3; at += 1) assert.ok(Array.isArray(await work()));
    }
  },
);
