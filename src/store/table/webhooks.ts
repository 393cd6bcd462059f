import { type RawBuilder, sql } from 'kysely';
import type { Engine } from '../engine.ts';
import type { NewWebhookDelivery, Webhook, WebhookTable } from '../types-api.ts';
import type { Ahead } from '../types-outbox.ts';
import { fromJson } from './json.ts';
import { isCatchAll } from './mailboxes.ts';
import { rowsOf } from './rows.ts';

export function webhookTable(engine: Engine): WebhookTable {
  const { read, write } = engine;
  const topic = 'webhooks';
  const rows = rowsOf(engine, 'webhooks', { topic, json: ['types', 'mailboxes', 'state'], beside: ['enabled'] });
  const deliveries = rowsOf(engine, 'webhook_deliveries', { json: ['attempts'] });
  const fresh = (webhookId: string, delivery: NewWebhookDelivery) => ({
    ...deliveries.columns({ ...delivery, webhookId, nextAt: delivery.createdAt, attempts: [], fence: 0 }),
    state: 'pending' as const,
  });
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
      write(topic, async (trx) => {
        if (most) {
          const all = await trx.selectFrom('webhooks').select('api_key_id').execute();
          const own = all.filter((one) => one.api_key_id === (row.apiKeyId ?? null)).length;
          if (all.length >= most.all || own >= most.ofKey) return { result: false, changed: false };
        }
        await trx
          .insertInto('webhooks')
          .values({ ...rows.columns(row), ...stateColumns(row.state) })
          .execute();
        return { result: true, changed: true };
      }),
    disable: (id, since, reason) => rows.update({ id, enabled: 1 }, stateColumns({ type: 'disabled', since, reason })),
    update: (id, change) =>
      write(topic, async (trx) => {
        const [found] = await rows.locked(trx, { id });
        if (!found) return { result: undefined, changed: false };
        const next: Webhook = { ...found, ...change };
        await rows.updateIn(trx, { id }, { ...rows.columns(next), ...stateColumns(next.state) });
        return { result: next, changed: true };
      }),
    find: (id) => rows.find({ id }),
    list: () => rows.list(['created_at', 'id']),
    remove: (id) =>
      write(topic, async (trx) => {
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
          await trx.insertInto('webhook_deliveries').values(fresh(id, delivery)).execute();
        return { result: true, changed: true };
      }),
    add: (id, delivery) =>
      write(topic, async (trx) => {
        await trx.insertInto('webhook_deliveries').values(fresh(id, delivery)).execute();
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
        const claimed = await (engine.name === 'postgres' ? due.forUpdate('mine').skipLocked() : due).execute();
        for (const row of claimed) {
          row.fence += 1;
          await deliveries.updateIn(trx, { id: row.id }, { next_at: until, fence: row.fence });
        }
        return { result: claimed.map(deliveries.from), changed: false };
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
    findDelivery: (webhookId, id) => deliveries.find({ id, webhook_id: webhookId }),
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
        return (await all.execute()).map(deliveries.from);
      }),
    replay: (webhookId, which, { now, deadline }) =>
      write(topic, async (trx) => {
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

function stateColumns(state: Webhook['state']) {
  return { state: JSON.stringify(state), enabled: state.type === 'enabled' ? 1 : 0 };
}
