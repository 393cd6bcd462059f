/** What the outbox's transactions are made of. */
import type { Insertable, Transaction } from 'kysely';
import type { OutboxEventRow, Schema } from '../schema.ts';
import type { IdempotencyClaim, Insertion, MessageChange, OutboxMessage } from '../types-outbox.ts';
import { defined } from './json.ts';
import { LANES, outboxMessage, stateColumns } from './outbox-row.ts';

/** Rows per statement: far below the 32,766 parameters SQLite allows. */
export const ROWS = 100;

/** Writes down who uses a key first; says who did when somebody has. */
export async function known(
  trx: Transaction<Schema>,
  { scope, key, fingerprint, expiresAt }: IdempotencyClaim,
  message: Pick<OutboxMessage, 'id' | 'createdAt'>,
): Promise<Insertion | undefined> {
  await trx
    .deleteFrom('outbox_idempotency')
    .where('scope', '=', scope)
    .where('key', '=', key)
    .where('expires_at', '<=', message.createdAt)
    .execute();
  const claimed = await trx
    .insertInto('outbox_idempotency')
    .values({ scope, key, fingerprint, message_id: message.id, expires_at: expiresAt })
    .onConflict((conflict) => conflict.columns(['scope', 'key']).doNothing())
    .returning('message_id')
    .executeTakeFirst();
  if (claimed) return undefined;
  const row = await trx
    .selectFrom('outbox_idempotency')
    .selectAll()
    .where('scope', '=', scope)
    .where('key', '=', key)
    .executeTakeFirstOrThrow();
  return { type: 'known', messageId: row.message_id, fingerprint: row.fingerprint };
}

export async function changeOne(
  trx: Transaction<Schema>,
  id: string,
  fence: number,
  change: MessageChange,
): Promise<OutboxMessage | undefined> {
  const old =
    change.body && (await trx.selectFrom('outbox_messages').select('body_id').where('id', '=', id).executeTakeFirst());
  const row = await trx
    .updateTable('outbox_messages')
    .set({ ...changeColumns(change), fence: fence + 1 })
    .where('id', '=', id)
    .where('fence', '=', fence)
    .returningAll()
    .executeTakeFirst();
  if (!row) return undefined;
  const message = outboxMessage(row);
  if (old) {
    await trx.deleteFrom('outbox_chunks').where('body_id', '=', old.body_id).execute();
    await trx.deleteFrom('outbox_arriving').where('body_id', '=', message.bodyId).execute();
  }
  return message;
}

export async function take(
  trx: Transaction<Schema>,
  ids: readonly string[],
  owner: string,
  until: number,
  attempts: number,
): Promise<readonly OutboxMessage[]> {
  if (ids.length === 0) return [];
  const rows = await trx
    .updateTable('outbox_messages')
    .set((eb) => ({
      ...stateColumns({ type: 'sending', owner, until }),
      attempts: eb('attempts', '+', attempts),
      fence: eb('fence', '+', 1),
    }))
    .where('id', 'in', [...ids])
    .returningAll()
    .execute();
  return rows.map(outboxMessage).toSorted((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
}

export async function insertEvents(
  trx: Transaction<Schema>,
  rows: readonly Insertable<OutboxEventRow>[],
): Promise<void> {
  for (let from = 0; from < rows.length; from += ROWS)
    await trx
      .insertInto('outbox_events')
      .values(rows.slice(from, from + ROWS))
      .execute();
}

function changeColumns(change: MessageChange) {
  const { state, recipients, lane, deadline, attempts, envelopeFrom, messageId, body } = change;
  return {
    ...(state === undefined ? {} : stateColumns(state)),
    ...defined({
      recipients: recipients && JSON.stringify(recipients),
      lane: lane && LANES.indexOf(lane),
      deadline,
      attempts,
      envelope_from: envelopeFrom,
      message_id: messageId,
      ...(body && {
        body_id: body.bodyId,
        data_key: body.key,
        chunks: body.chunks,
        size: body.size,
        eight_bit: body.eightBit ? 1 : 0,
      }),
    }),
  };
}
