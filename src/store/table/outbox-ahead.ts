/** Messages that a clock that ran ahead has dated. */
import { type Kysely, type RawBuilder, type Transaction, sql } from 'kysely';
import type { Schema } from '../schema.ts';
import type { Engine } from '../engine.ts';
import type { Ahead } from '../types-outbox.ts';
import { lockInOrder } from './outbox-write.ts';

/**
 * Waiting messages whose due time such a clock has set, also where it was put right in steps. A moment that a person asked for is
 * none of its making and stays. What was never tried was due at once; of others, what last happened to them says when their due
 * time was set. An edit that names no time set none.
 */
function datedAhead({ now, latest, tolerated }: Ahead): RawBuilder<boolean> {
  return sql<boolean>`state = 'queued' AND state_at > ${now} AND (not_before IS NULL OR not_before <> state_at) AND (
    (attempts > 0 AND state_at > ${latest})
    OR (attempts = 0 AND state_at > ${tolerated})
    OR EXISTS (
      SELECT 1 FROM outbox_events e
      WHERE e.at > ${tolerated} AND e.seq = (
          SELECT max(l.seq) FROM outbox_events l
          WHERE l.message_id = outbox_messages.id AND NOT (l.type = 'edited' AND l.data NOT LIKE '%"notBefore"%'))))`;
}

/** How many there are. */
export async function countAhead(db: Kysely<Schema>, ahead: Ahead): Promise<number> {
  const counted = db
    .selectFrom('outbox_messages')
    .select(sql<number>`count(*)`.as('n'))
    .where(datedAhead(ahead));
  return (await counted.executeTakeFirstOrThrow()).n;
}

/** They are due now; how many. Moments of acceptance yet to come are now as well, and deadlines reckoned from them move along. */
export async function recallAhead(
  trx: Transaction<Schema>,
  engine: Pick<Engine, 'name'>,
  ahead: Ahead,
): Promise<number> {
  const { now, tolerated, keepMs } = ahead;
  await lockInOrder(trx, engine, (query) =>
    query.where((eb) =>
      eb.or([datedAhead(ahead), eb.and([eb('created_at', '>', tolerated), eb('finished_at', 'is', null)])]),
    ),
  );
  const { numUpdatedRows } = await trx
    .updateTable('outbox_messages')
    .set({ state_at: now })
    .where(datedAhead(ahead))
    .executeTakeFirst();
  const due = sql`CASE WHEN state = 'queued' AND state_at > ${now} THEN state_at ELSE ${now} END + ${keepMs}`;
  await trx
    .updateTable('outbox_messages')
    .set({
      created_at: now,
      deadline: sql<number>`CASE WHEN deadline <= ${due} THEN deadline
        WHEN deadline - created_at + ${now} > ${due} THEN deadline - created_at + ${now} ELSE ${due} END`,
    })
    .where('created_at', '>', tolerated)
    .where('finished_at', 'is', null)
    .execute();
  return Number(numUpdatedRows);
}
