import type { Engine } from '../engine.ts';
import type { NoticeDelivery, NoticeTable } from '../types-notices.ts';
import { rowsOf } from './rows.ts';

export function noticeTable(engine: Engine): NoticeTable {
  const { read, write } = engine;
  const rows = rowsOf(engine, 'notices', { json: ['body'] });
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
        return { result: rows.from(row), changed: true };
      }),
    open: () => rows.list(['raised_at'], { resolved_at: null }),
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
        const claimed = await (
          engine.name === 'postgres' ? due.forUpdate('notice_deliveries').skipLocked() : due
        ).execute();
        for (const { id, status, channel } of claimed) {
          await trx
            .updateTable('notice_deliveries')
            .set((eb) => ({ next_at: until, attempts: eb('attempts', '+', 1) }))
            .where('notice_id', '=', id)
            .where('status', '=', status)
            .where('channel', '=', channel)
            .execute();
        }
        const result = claimed.map(({ status, channel, attempts, ...row }): NoticeDelivery => {
          return { notice: rows.from(row), status: status as NoticeDelivery['status'], channel, attempts };
        });
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
