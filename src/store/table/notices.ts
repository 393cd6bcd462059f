import type { Engine } from '../engine.ts';
import type { NoticeRow } from '../schema.ts';
import type { Notice, NoticeDelivery, NoticeTable } from '../types-notices.ts';
import { fromJson } from './json.ts';

export function noticeTable(engine: Engine): NoticeTable {
  const { read, write } = engine;
  return {
    raise: (row, channels) =>
      write(undefined, async (trx) => {
        const { id, cause, raisedAt } = row;
        const done = await trx
          .insertInto('notices')
          .values({ id, cause, body: JSON.stringify(row.body), raised_at: raisedAt, resolved_at: null })
          .onConflict((conflict) => conflict.doNothing())
          .executeTakeFirst();
        if (done.numInsertedOrUpdatedRows === 0n) return { result: false, changed: false };
        for (const channel of channels) {
          await trx
            .insertInto('notice_deliveries')
            .values({ ...FRESH, notice_id: id, status: 'raised', channel, next_at: raisedAt })
            .execute();
        }
        return { result: true, changed: true };
      }),
    resolve: (cause, at, quietly = false) =>
      write(undefined, async (trx) => {
        const row = await trx
          .updateTable('notices')
          .set({ resolved_at: at })
          .where('cause', '=', cause)
          .where('resolved_at', 'is', null)
          .returningAll()
          .executeTakeFirst();
        if (!row) return { result: undefined, changed: false };
        const mine = trx.selectFrom('notice_deliveries').where('notice_id', '=', row.id);
        const told = await mine.select('channel').where('delivered_at', 'is not', null).execute();
        await trx.updateTable('notice_deliveries').set({ next_at: null }).where('notice_id', '=', row.id).execute();
        for (const { channel } of quietly ? [] : told) {
          await trx
            .insertInto('notice_deliveries')
            .values({ ...FRESH, notice_id: row.id, status: 'resolved', channel, next_at: at })
            .execute();
        }
        return { result: notice(row), changed: true };
      }),
    open: () =>
      read(async (db) =>
        (
          await db.selectFrom('notices').selectAll().where('resolved_at', 'is', null).orderBy('raised_at').execute()
        ).map(notice),
      ),
    claimDeliveries: ({ now, until, limit }) =>
      write(undefined, async (trx) => {
        const due = trx
          .selectFrom('notice_deliveries')
          .innerJoin('notices', 'notices.id', 'notice_deliveries.notice_id')
          .selectAll('notices')
          .select(['status', 'channel', 'attempts'])
          .where('next_at', '<=', now)
          .orderBy('next_at')
          .limit(limit);
        const rows = await (
          engine.name === 'postgres' ? due.forUpdate('notice_deliveries').skipLocked() : due
        ).execute();
        for (const { id, status, channel } of rows) {
          await trx
            .updateTable('notice_deliveries')
            .set((eb) => ({ next_at: until, attempts: eb('attempts', '+', 1) }))
            .where('notice_id', '=', id)
            .where('status', '=', status)
            .where('channel', '=', channel)
            .execute();
        }
        const result: NoticeDelivery[] = rows.map((row) => ({
          notice: notice(row),
          status: row.status as NoticeDelivery['status'],
          channel: row.channel,
          attempts: row.attempts,
        }));
        return { result, changed: false };
      }),
    settle: ({ notice: { id }, status, channel }, outcome) =>
      read(async (db) => {
        await db
          .updateTable('notice_deliveries')
          .set(
            outcome.type === 'delivered'
              ? { delivered_at: outcome.at, next_at: null, problem: null }
              : { next_at: outcome.type === 'again' ? outcome.at : null, problem: outcome.problem },
          )
          .where('notice_id', '=', id)
          .where('status', '=', status)
          .where('channel', '=', channel)
          .execute();
      }),
    prune: (before) =>
      read(async (db) => {
        await db.deleteFrom('notices').where('resolved_at', '<', before).execute();
      }),
  };
}

const FRESH = { attempts: 0, delivered_at: null, problem: null };

function notice(row: NoticeRow): Notice {
  return {
    id: row.id,
    cause: row.cause,
    body: fromJson(row.body, 'notices.body'),
    raisedAt: row.raised_at,
    resolvedAt: row.resolved_at ?? undefined,
  };
}
