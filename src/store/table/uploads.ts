import { type Kysely, sql } from 'kysely';
import type { Engine } from '../engine.ts';
import { storeError } from '../errors.ts';
import type { Schema } from '../schema.ts';
import type { UploadTable } from '../types-api.ts';
import { rowsOf } from './rows.ts';

/** Removed at once by the hourly sweep. */
const PRUNED_AT_ONCE = 500;

export function uploadTable(engine: Engine): UploadTable {
  const { read, write } = engine;
  const rows = rowsOf(engine, 'uploads', { named: { data_key: 'key' } });
  return {
    insert: (row, most) =>
      write(undefined, async (trx) => {
        if (most) {
          // In PostgreSQL two that are written at once would not see each other.
          if (engine.name === 'postgres')
            await sql`SELECT 1 FROM api_keys WHERE id = ${row.principal} FOR UPDATE`.execute(trx);
          const { count, octets } = await held(trx, row.principal, row.createdAt);
          if (count + 1 > most.count || octets + row.size > most.octets) return { result: false, changed: false };
        }
        // From here on the chunks have an owner, so the sweep for orphans leaves them alone.
        const arriving = await trx.deleteFrom('outbox_arriving').where('body_id', '=', row.id).executeTakeFirst();
        if (arriving.numDeletedRows === 0n)
          throw storeError('store.swept', 'the first octets of the upload were swept away before it was complete');
        await trx.insertInto('uploads').values(rows.columns(row)).execute();
        return { result: true, changed: true };
      }),
    find: (id) => rows.find({ id }),
    held: (principal, now) => read((db) => held(db, principal, now)),
    remove: (id) =>
      write(undefined, async (trx) => {
        const done = await trx.deleteFrom('uploads').where('id', '=', id).executeTakeFirst();
        const result = done.numDeletedRows > 0n;
        if (result) await trx.deleteFrom('outbox_chunks').where('body_id', '=', id).execute();
        return { result, changed: result };
      }),
    prune: (now) =>
      write(undefined, async (trx) => {
        const old = trx.selectFrom('uploads').select('id').where('expires_at', '<=', now).limit(PRUNED_AT_ONCE);
        const ids = (await old.execute()).map(({ id }) => id);
        if (ids.length > 0) {
          await trx.deleteFrom('outbox_chunks').where('body_id', 'in', ids).execute();
          await trx.deleteFrom('uploads').where('id', 'in', ids).execute();
        }
        return { result: undefined, changed: ids.length > 0 };
      }),
  };
}

async function held(
  db: Kysely<Schema>,
  principal: string,
  now: number,
): Promise<{ readonly count: number; readonly octets: number }> {
  const { count, octets } = await db
    .selectFrom('uploads')
    .select([sql<number>`count(*)`.as('count'), sql<number>`CAST(coalesce(sum(size), 0) AS bigint)`.as('octets')])
    .where('principal', '=', principal)
    .where('expires_at', '>', now)
    .executeTakeFirstOrThrow();
  return { count, octets };
}
