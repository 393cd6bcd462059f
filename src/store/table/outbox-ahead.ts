/** Messages that a clock that ran ahead has dated. What last happened to them says so: their due time was reckoned from it. */
import { type RawBuilder, type Transaction, sql } from 'kysely';
import type { Schema } from '../schema.ts';
import type { Ahead } from '../types-outbox.ts';

/**
 * Waiting messages whose due time such a clock has set. A moment that a person asked for is none of its making and stays: it is
 * what acceptance or an edit set to something else than the time they happened at. An edit of anything else set no time.
 */
export function datedAhead({ now, latest, tolerated }: Ahead): RawBuilder<boolean> {
  return sql<boolean>`state = 'queued' AND state_at > ${now} AND (
    (attempts > 0 AND state_at > ${latest})
    OR EXISTS (
      SELECT 1 FROM outbox_events e
      WHERE e.at > ${tolerated} AND NOT (e.type IN ('accepted', 'edited') AND e.at <> outbox_messages.state_at)
        AND e.seq = (
          SELECT max(l.seq) FROM outbox_events l
          WHERE l.message_id = outbox_messages.id AND NOT (l.type = 'edited' AND l.data NOT LIKE '%"notBefore"%'))))`;
}

/** They are due now; how many. Moments of acceptance yet to come are now as well, and deadlines reckoned from them move along. */
export async function recallAhead(trx: Transaction<Schema>, ahead: Ahead): Promise<number> {
  const { now, tolerated, keepMs } = ahead;
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
