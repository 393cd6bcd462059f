import { type RawBuilder, sql } from 'kysely';
import type { Engine } from '../engine.ts';
import type { WebhookRow } from '../schema.ts';
import type { Webhook, WebhookTable } from '../types-api.ts';
import type { Ahead } from '../types-outbox.ts';
import { fromJson } from './json.ts';
import { isCatchAll } from './mailboxes.ts';
import { deliveryValues, webhookDelivery } from './webhook-delivery-row.ts';

export function webhookTable(engine: Engine): WebhookTable {
  const { read, write } = engine;
  const lastTryAt =
    engine.name === 'postgres'
      ? sql<number>`(attempts::jsonb -> -1 ->> 'at')::bigint`
      : sql<number>`json_extract(attempts, '$[#-1].at')`;
  /** Waiting deliveries whose time was reckoned by a clock that ran ahead: what last happened to them lies in the future. */
  const datedAhead = ({ now, latest, tolerated }: Omit<Ahead, 'keepMs'>): RawBuilder<boolean> =>
    sql<boolean>`state = 'pending' AND next_at > ${now}
      AND (next_at > ${latest} OR created_at > ${tolerated} OR ${lastTryAt} > ${tolerated})`;
  return {
    insert: (row, most) =>
      write('webhooks', async (trx) => {
        const { id, url, secrets, cursor } = row;
        if (most) {
          const all = await trx.selectFrom('webhooks').select('api_key_id').execute();
          const own = all.filter((one) => one.api_key_id === (row.apiKeyId ?? null)).length;
          if (all.length >= most.all || own >= most.ofKey) return { result: false, changed: false };
        }
        await trx
          .insertInto('webhooks')
          .values({ id, url, secrets, cursor, created_at: row.createdAt, ...columns(row) })
          .execute();
        return { result: true, changed: true };
      }),
    disable: (id, since, reason) =>
      write('webhooks', async (trx) => {
        const done = await trx
          .updateTable('webhooks')
          .set({ enabled: 0, state: JSON.stringify({ type: 'disabled', since, reason }) })
          .where('id', '=', id)
          .where('enabled', '=', 1)
          .executeTakeFirst();
        return { result: done.numUpdatedRows > 0n, changed: done.numUpdatedRows > 0n };
      }),
    update: (id, change) =>
      write('webhooks', async (trx) => {
        const asked = trx.selectFrom('webhooks').selectAll().where('id', '=', id);
        const found = await (engine.name === 'postgres' ? asked.forUpdate() : asked).executeTakeFirst();
        if (!found) return { result: undefined, changed: false };
        const next: Webhook = { ...webhook(found), ...change };
        const { url, secrets } = next;
        await trx
          .updateTable('webhooks')
          .set({ url, secrets, ...columns(next) })
          .where('id', '=', id)
          .execute();
        return { result: next, changed: true };
      }),
    find: (id) =>
      read(async (db) => {
        const row = await db.selectFrom('webhooks').selectAll().where('id', '=', id).executeTakeFirst();
        return row && webhook(row);
      }),
    list: () =>
      read(async (db) =>
        (await db.selectFrom('webhooks').selectAll().orderBy('created_at').orderBy('id').execute()).map(webhook),
      ),
    remove: (id) =>
      write('webhooks', async (trx) => {
        await trx.deleteFrom('webhook_deliveries').where('webhook_id', '=', id).execute();
        const done = await trx.deleteFrom('webhooks').where('id', '=', id).executeTakeFirst();
        return { result: done.numDeletedRows > 0n, changed: done.numDeletedRows > 0n };
      }),
    enqueue: (id, cursor, deliveries) =>
      write(undefined, async (trx) => {
        const moved = await trx
          .updateTable('webhooks')
          .set({ cursor: cursor.to })
          .where('id', '=', id)
          .where('cursor', '=', cursor.from)
          .executeTakeFirst();
        if (moved.numUpdatedRows === 0n) return { result: false, changed: false };
        for (const delivery of deliveries)
          await trx.insertInto('webhook_deliveries').values(deliveryValues(id, delivery)).execute();
        return { result: true, changed: true };
      }),
    add: (id, delivery) =>
      write('webhooks', async (trx) => {
        await trx.insertInto('webhook_deliveries').values(deliveryValues(id, delivery)).execute();
        return { result: undefined, changed: true };
      }),
    claim: ({ webhookId, now, until, limit }) =>
      write(undefined, async (trx) => {
        const due = trx
          .selectFrom('webhook_deliveries as mine')
          .selectAll('mine')
          .where('webhook_id', '=', webhookId)
          .where('state', '=', 'pending')
          .where('next_at', '<=', now)
          .where((eb) =>
            eb.not(
              eb.exists(
                eb
                  .selectFrom('webhook_deliveries as earlier')
                  .select('earlier.id')
                  .where('earlier.webhook_id', '=', webhookId)
                  .where('earlier.state', '=', 'pending')
                  .whereRef('earlier.ordering_key', '=', 'mine.ordering_key')
                  .whereRef('earlier.seq', '<', 'mine.seq'),
              ),
            ),
          )
          .orderBy('next_at')
          .orderBy('seq')
          .limit(limit);
        const rows = await (engine.name === 'postgres' ? due.forUpdate('mine').skipLocked() : due).execute();
        for (const row of rows) {
          row.fence += 1;
          await trx
            .updateTable('webhook_deliveries')
            .set({ next_at: until, fence: row.fence })
            .where('id', '=', row.id)
            .execute();
        }
        return { result: rows.map(webhookDelivery), changed: false };
      }),
    ahead: (ahead) =>
      read(
        async (db) =>
          (
            await db
              .selectFrom('webhook_deliveries')
              .select(sql<number>`count(*)`.as('n'))
              .where(datedAhead(ahead))
              .executeTakeFirstOrThrow()
          ).n,
      ),
    recall: (ahead) =>
      write(undefined, async (trx) => {
        const { numUpdatedRows } = await trx
          .updateTable('webhook_deliveries')
          .set({ next_at: ahead.now })
          .where(datedAhead(ahead))
          .executeTakeFirst();
        return { result: Number(numUpdatedRows), changed: false };
      }),
    due: (now) =>
      read(async (db) => {
        const pending = db
          .selectFrom('webhooks')
          .innerJoin('webhook_deliveries', 'webhook_deliveries.webhook_id', 'webhooks.id')
          .where('enabled', '=', 1)
          .where('webhook_deliveries.state', '=', 'pending');
        const ready = await pending.select('webhooks.id').distinct().where('next_at', '<=', now).execute();
        const next = await pending
          .select((eb) => eb.fn.min('next_at').as('next_at'))
          .where('next_at', '>', now)
          .executeTakeFirst();
        return { webhookIds: ready.map(({ id }) => id), nextAt: next?.next_at ?? undefined };
      }),
    settle: ({ id, fence }, attempt, outcome) =>
      write(undefined, async (trx) => {
        const mine = trx
          .selectFrom('webhook_deliveries')
          .select('attempts')
          .where('id', '=', id)
          .where('fence', '=', fence)
          .where('state', '=', 'pending');
        const row = await mine.executeTakeFirst();
        if (!row) return { result: false, changed: false };
        const before: readonly unknown[] = fromJson(row.attempts, 'webhook_deliveries.attempts');
        await trx
          .updateTable('webhook_deliveries')
          .set({
            attempts: JSON.stringify([...before, attempt]),
            ...(outcome.type === 'again'
              ? { next_at: outcome.at }
              : { state: outcome.type, next_at: null, finished_at: attempt.at }),
          })
          .where('id', '=', id)
          .where('fence', '=', fence)
          .execute();
        return { result: true, changed: true };
      }),
    findDelivery: (webhookId, id) =>
      read(async (db) => {
        const row = await db
          .selectFrom('webhook_deliveries')
          .selectAll()
          .where('id', '=', id)
          .where('webhook_id', '=', webhookId)
          .executeTakeFirst();
        return row && webhookDelivery(row);
      }),
    deliveries: (webhookId, { state, before, mailboxes, limit }) =>
      read(async (db) => {
        let all = db
          .selectFrom('webhook_deliveries')
          .selectAll()
          .where('webhook_id', '=', webhookId)
          .where(ofMailboxes(mailboxes))
          .orderBy('seq', 'desc')
          .limit(limit);
        if (state !== undefined) all = all.where('state', '=', state);
        if (before !== undefined) all = all.where('seq', '<', before);
        return (await all.execute()).map(webhookDelivery);
      }),
    replay: (webhookId, which, { now, deadline }) =>
      write('webhooks', async (trx) => {
        const all = trx
          .updateTable('webhook_deliveries')
          .set((eb) => ({ state: 'pending', next_at: now, deadline, finished_at: null, fence: eb('fence', '+', 1) }))
          .where('webhook_id', '=', webhookId);
        let some =
          'id' in which
            ? all.where('id', '=', which.id).where('state', '!=', 'pending')
            : all.where('state', '=', which.state).where('created_at', '>=', which.since);
        for (const names of 'id' in which ? [] : (which.mailboxes ?? [])) some = some.where(ofMailboxes(names));
        const count = Number((await some.executeTakeFirst()).numUpdatedRows);
        return { result: count, changed: count > 0 };
      }),
    prune: (before) =>
      read(async (db) => {
        await db.deleteFrom('webhook_deliveries').where('finished_at', '<', before).execute();
      }),
  };
}

/** Deliveries of mailboxes that these names open, among them `*` and `*@domain`; and those of no mailbox. */
function ofMailboxes(names: readonly string[] | undefined): RawBuilder<boolean> {
  if (names === undefined || names.includes('*')) return sql<boolean>`1 = 1`;
  const tests = [
    sql<boolean>`mailbox IS NULL`,
    ...names.map((name) =>
      isCatchAll(name)
        ? sql<boolean>`mailbox LIKE ${`%${name.slice(1).replace(/[!%_]/g, '!$&')}`} ESCAPE '!'`
        : sql<boolean>`mailbox = ${name}`,
    ),
  ];
  return sql<boolean>`(${sql.join(tests, sql` OR `)})`;
}

function columns({ apiKeyId, types, mailboxes, state }: Pick<Webhook, 'apiKeyId' | 'types' | 'mailboxes' | 'state'>) {
  return {
    api_key_id: apiKeyId ?? null,
    types: JSON.stringify(types),
    mailboxes: JSON.stringify(mailboxes),
    state: JSON.stringify(state),
    enabled: state.type === 'enabled' ? 1 : 0,
  };
}

function webhook(row: WebhookRow): Webhook {
  return {
    id: row.id,
    apiKeyId: row.api_key_id ?? undefined,
    url: row.url,
    types: fromJson(row.types, 'webhooks.types'),
    mailboxes: fromJson(row.mailboxes, 'webhooks.mailboxes'),
    secrets: row.secrets,
    state: fromJson(row.state, 'webhooks.state'),
    cursor: row.cursor,
    createdAt: row.created_at,
  };
}
