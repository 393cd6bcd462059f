/** What the outbox's transactions are made of. */
import {
  CompiledQuery,
  type Insertable,
  type RawBuilder,
  type Selectable,
  type SelectQueryBuilder,
  sql,
  type Transaction,
} from 'kysely';
import type { Engine } from '../engine.ts';
import { storeError } from '../errors.ts';
import type { OutboxMessageRow, Schema } from '../schema.ts';
import type { IdempotencyClaim, Insertion, MessageChange, OutboxMessage, OutboxTable } from '../types-outbox.ts';
import { defined } from './json.ts';
import { LANES, outboxMessage, stateColumns } from './outbox-row.ts';

/** Rows per statement: far below the 32,766 parameters SQLite allows. */
const ROWS = 100;

/** The time idempotency keys end by: that of the database where several machines share it, since their clocks differ. */
export function claimTime({ name, leaseTime }: Pick<Engine, 'name' | 'leaseTime'>, at: number): RawBuilder<number> {
  return name === 'postgres' ? leaseTime() : sql<number>`${Math.floor(at)}`;
}

/** Writes down who uses a key first; says who did when somebody has. */
export async function known(
  trx: Transaction<Schema>,
  engine: Pick<Engine, 'name' | 'leaseTime'>,
  { scope, key, fingerprint, at, keepMs }: IdempotencyClaim,
  message: Pick<OutboxMessage, 'id'>,
): Promise<Insertion | undefined> {
  const now = claimTime(engine, at);
  await trx
    .deleteFrom('outbox_idempotency')
    .where('scope', '=', scope)
    .where('key', '=', key)
    .where('expires_at', '<=', now)
    .execute();
  const claimed = await trx
    .insertInto('outbox_idempotency')
    .values({ scope, key, fingerprint, message_id: message.id, expires_at: sql<number>`${now} + ${sql.lit(keepMs)}` })
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

/**
 * Octets that came before belong to their message from here on, and are not swept away any more. @throws store.swept when
 * they were already, by a clock that ran ahead: what has lost its beginning is not to be acknowledged, and can be sent again
 */
export async function requireArrived(trx: Transaction<Schema>, bodyIds: readonly string[]): Promise<void> {
  const { numDeletedRows } = await trx
    .deleteFrom('outbox_arriving')
    .where('body_id', 'in', [...bodyIds])
    .executeTakeFirst();
  if (Number(numDeletedRows) < bodyIds.length) throw swept();
}

export function swept(): Error {
  return storeError('store.swept', 'the first octets of the message were swept away before it was complete');
}

export async function changeOne(
  trx: Transaction<Schema>,
  engine: Pick<Engine, 'name'>,
  id: string,
  fence: number,
  change: MessageChange,
): Promise<OutboxMessage | undefined> {
  const old =
    change.body && (await trx.selectFrom('outbox_messages').select('body_id').where('id', '=', id).executeTakeFirst());
  const columns = Object.entries({ ...changeColumns(change), fence: fence + 1 });
  const text = changeText(
    engine,
    columns.map(([name]) => name),
  );
  const query = CompiledQuery.raw(text, [...columns.map(([, value]) => value), id, fence]);
  const [row] = (await trx.executeQuery<Selectable<OutboxMessageRow>>(query)).rows;
  if (!row) return undefined;
  const message = outboxMessage(row);
  if (old) {
    await trx.deleteFrom('outbox_chunks').where('body_id', '=', old.body_id).execute();
    await requireArrived(trx, [message.bodyId]);
  }
  return message;
}

/** @param ways of a new attempt; those of one that is taken over stay as they are */
export async function take(
  trx: Transaction<Schema>,
  ids: readonly string[],
  owner: string,
  until: number,
  begun: 'over' | { readonly ways: string | undefined },
): Promise<readonly OutboxMessage[]> {
  if (ids.length === 0) return [];
  const rows = await trx
    .updateTable('outbox_messages')
    .set((eb) => ({
      state: 'sending',
      state_at: until,
      state_by: owner,
      ...(begun === 'over' ? {} : { state_reason: begun.ways ?? null }),
      attempts: eb('attempts', '+', begun === 'over' ? 0 : 1),
      fence: eb('fence', '+', 1),
    }))
    .where('id', 'in', [...ids])
    .returningAll()
    .execute();
  return rows.map(outboxMessage).toSorted((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
}

/**
 * Locks rows by their ids before several of them are changed: transactions that want the same ones wait for one another in one order,
 * and none for the other (deadlock). SQLite has one writer at a time.
 */
export async function lockInOrder(
  trx: Transaction<Schema>,
  engine: Pick<Engine, 'name'>,
  rows: (
    query: SelectQueryBuilder<Schema, 'outbox_messages', { id: string }>,
  ) => SelectQueryBuilder<Schema, 'outbox_messages', { id: string }>,
): Promise<void> {
  if (engine.name !== 'postgres') return;
  const ordered = rows(trx.selectFrom('outbox_messages').select('id')).orderBy('id').forUpdate();
  await trx
    .selectFrom(ordered.as('locked'))
    .select(sql<number>`count(*)`.as('n'))
    .execute();
}

/** Which of these claims are still the owner's, and now last until then. */
export async function prolong(
  trx: Transaction<Schema>,
  engine: Pick<Engine, 'name'>,
  owner: string,
  ids: readonly string[],
  until: number,
): Promise<readonly string[]> {
  if (ids.length === 0) return [];
  await lockInOrder(trx, engine, (query) => query.where('id', 'in', [...ids]).where('state_by', '=', owner));
  const rows = await trx
    .updateTable('outbox_messages')
    .set({ state_at: until })
    .where('id', 'in', [...ids])
    .where('state', '=', 'sending')
    .where('state_by', '=', owner)
    .returning('id')
    .execute();
  return rows.map(({ id }) => id);
}

/** Takes claims back that nobody was told of, each known by the moment it lasts until. */
export async function unclaim(
  trx: Transaction<Schema>,
  engine: Pick<Engine, 'name'>,
  { owner, untils, now }: Parameters<OutboxTable['unclaim']>[0],
): Promise<number> {
  if (untils.length === 0) return 0;
  await lockInOrder(trx, engine, (query) =>
    query
      .where('state', '=', 'sending')
      .where('state_by', '=', owner)
      .where('state_at', 'in', [...untils]),
  );
  const { numUpdatedRows } = await trx
    .updateTable('outbox_messages')
    .set((eb) => ({
      state: 'queued',
      state_at: sql<number>`CASE WHEN created_at < ${now} THEN created_at ELSE ${now} END`,
      state_by: null,
      state_reason: null,
      attempts: eb('attempts', '-', 1),
      fence: eb('fence', '+', 1),
    }))
    .where('state', '=', 'sending')
    .where('state_by', '=', owner)
    .where('state_at', 'in', [...untils])
    .executeTakeFirst();
  return Number(numUpdatedRows);
}

/** Octets of messages that are forgotten in one transaction. */
const MAX_FORGOTTEN = 512 * 1024;

/** Forgets messages finished before a moment, at least one if there is any; how many. */
export async function forgetMessages(trx: Transaction<Schema>, finishedBefore: number, limit: number): Promise<number> {
  const oldest = await trx
    .selectFrom('outbox_messages')
    .select(['id', 'body_id', 'size'])
    .where('finished_at', '<', finishedBefore)
    .orderBy('finished_at')
    .limit(limit)
    .execute();
  // What is deleted is written over in the log first: in steps that the reserve of the disk is enough for.
  let octets = 0;
  const old = oldest.filter(({ size }, at) => (octets += size) <= MAX_FORGOTTEN || at === 0);
  const ids = old.map(({ id }) => id);
  if (ids.length > 0) {
    const bodies = old.map((row) => row.body_id);
    await trx.deleteFrom('outbox_chunks').where('body_id', 'in', bodies).execute();
    await trx.deleteFrom('outbox_events').where('message_id', 'in', ids).execute();
    await trx.deleteFrom('outbox_messages').where('id', 'in', ids).execute();
  }
  return ids.length;
}

export function octetsOf(chunks: readonly { readonly data: Uint8Array }[]): number {
  return chunks.reduce((sum, { data }) => sum + data.length, 0);
}

/**
 * Inserts rows by a statement whose text is made once per number of rows: building it again for every group of messages costs
 * more than running it.
 */
export async function insertRows<T extends keyof Texts>(
  trx: Transaction<Schema>,
  engine: Pick<Engine, 'name'>,
  table: T,
  rows: readonly Insertable<Schema[T]>[],
): Promise<readonly { readonly id: string; readonly seq: number }[]> {
  const columns = COLUMNS[table];
  const all: { id: string; seq: number }[] = [];
  for (let from = 0; from < rows.length; from += ROWS) {
    const some = rows.slice(from, from + ROWS);
    const key = `${engine.name} ${table} ${some.length}`;
    let text = texts.get(key);
    if (text === undefined) {
      let count = 0;
      const place = (): string => (engine.name === 'postgres' ? `$${++count}` : '?');
      const values = some.map(() => `(${columns.map(place).join(', ')})`).join(', ');
      const back = table === 'outbox_messages' ? ' RETURNING id, seq' : '';
      text = `INSERT INTO ${table} (${columns.join(', ')}) VALUES ${values}${back}`;
      texts.set(key, text);
    }
    const parameters = some.flatMap((row) =>
      columns.map((column) => (row as Readonly<Record<string, unknown>>)[column] ?? null),
    );
    const done = await trx.executeQuery<{ id: string; seq: number }>(CompiledQuery.raw(text, parameters));
    all.push(...done.rows);
  }
  return all;
}

/** As {@link insertRows}: every message sent is changed once, and nearly all in the same columns. */
function changeText({ name }: Pick<Engine, 'name'>, columns: readonly string[]): string {
  const key = `${name} change ${columns.join()}`;
  let text = texts.get(key);
  if (text === undefined) {
    let count = 0;
    const place = (): string => (name === 'postgres' ? `$${++count}` : '?');
    const set = columns.map((column) => `${column} = ${place()}`).join(', ');
    text = `UPDATE outbox_messages SET ${set} WHERE id = ${place()} AND fence = ${place()} RETURNING *`;
    texts.set(key, text);
  }
  return text;
}

type Texts = Pick<Schema, 'outbox_messages' | 'outbox_chunks' | 'outbox_events'>;

const texts = new Map<string, string>();

const COLUMNS: Readonly<Record<keyof Texts, readonly string[]>> = {
  outbox_messages: [
    'id',
    'mailbox',
    'source',
    'principal',
    'remote_address',
    'envelope_from',
    'recipients',
    'message_id',
    'size',
    'lane',
    'dsn',
    'smtputf8',
    'eight_bit',
    'deadline',
    'attempts',
    'state',
    'state_at',
    'state_by',
    'state_reason',
    'fence',
    'body_id',
    'data_key',
    'chunks',
    'created_at',
    'finished_at',
    'not_before',
  ],
  outbox_chunks: ['body_id', 'number', 'data'],
  outbox_events: ['message_id', 'mailbox', 'at', 'type', 'data'],
};

function changeColumns(change: MessageChange) {
  const { state, recipients, lane, notBefore, deadline, attempts, envelopeFrom, messageId, writer, body } = change;
  return {
    ...(state === undefined ? {} : stateColumns(state)),
    ...defined({
      recipients: recipients && JSON.stringify(recipients),
      lane: lane && LANES.indexOf(lane),
      not_before: notBefore,
      deadline,
      attempts,
      envelope_from: envelopeFrom,
      message_id: messageId,
      ...(writer && {
        principal: writer.principal,
        source: writer.source,
        remote_address: writer.remoteAddress ?? null,
      }),
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
