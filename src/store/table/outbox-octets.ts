/** The octets of messages and uploads: while they arrive, and what is left of those that never became a message. */
import { CompiledQuery } from 'kysely';
import type { Engine } from '../engine.ts';
import type { OutboxTable } from '../types-outbox.ts';
import { octetsOf, swept } from './outbox-write.ts';

/** Asked once or more for every message: building it would cost more than running it. */
const CHUNK_TEXT = {
  sqlite: 'SELECT data FROM outbox_chunks WHERE body_id = ? AND number = ?',
  postgres: 'SELECT data FROM outbox_chunks WHERE body_id = $1 AND number = $2',
} as const;

export function outboxOctets(
  engine: Engine,
): Pick<OutboxTable, 'addChunks' | 'chunk' | 'dropOrphans' | 'dropArriving'> {
  const { read } = engine;
  return {
    addChunks: async (bodyId, at, chunks) => {
      await engine.admit(octetsOf(chunks));
      return engine.write(undefined, async (trx) => {
        // Whose beginning was swept away is not begun again in its middle.
        if (chunks.some(({ number }) => number === 0))
          await trx.insertInto('outbox_arriving').values({ body_id: bodyId, since: at }).execute();
        else {
          const mine = trx.selectFrom('outbox_arriving').select('body_id').where('body_id', '=', bodyId);
          const found = await (engine.name === 'postgres' ? mine.forShare() : mine).executeTakeFirst();
          if (!found) throw swept();
        }
        for (const { number, data } of chunks)
          await trx.insertInto('outbox_chunks').values({ body_id: bodyId, number, data }).execute();
        return { result: undefined, changed: false };
      });
    },
    chunk: (bodyId, number) =>
      read(async (db) => {
        const query = CompiledQuery.raw(CHUNK_TEXT[engine.name], [bodyId, number]);
        return (await db.executeQuery<{ readonly data: Uint8Array }>(query)).rows[0]?.data;
      }),
    dropOrphans: (before) =>
      engine.write(undefined, async (trx) => {
        const orphans = await trx
          .deleteFrom('outbox_arriving')
          .where('since', '<', before)
          .returning('body_id')
          .execute();
        for (const { body_id: id } of orphans)
          await trx.deleteFrom('outbox_chunks').where('body_id', '=', id).execute();
        return { result: orphans.length, changed: false };
      }),
    dropArriving: (bodyId) =>
      engine.write(undefined, async (trx) => {
        const mine = await trx.deleteFrom('outbox_arriving').where('body_id', '=', bodyId).executeTakeFirst();
        if (mine.numDeletedRows > 0n) await trx.deleteFrom('outbox_chunks').where('body_id', '=', bodyId).execute();
        return { result: undefined, changed: false };
      }),
  };
}
