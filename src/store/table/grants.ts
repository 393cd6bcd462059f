import { sql } from 'kysely';
import type { Engine } from '../engine.ts';
import type { GrantRow } from '../schema.ts';
import type { GrantTable, RenewalRecord } from '../types.ts';
import { holdsLease } from './leases.ts';
import { rowsOf } from './rows.ts';

export function grantTable(engine: Engine): GrantTable {
  const { read, write } = engine;
  const rows = rowsOf(engine, 'grants', {
    topic: 'grants',
    json: ['scopes', 'state', 'renewal'],
    beside: ['renewed_at', 'failing'],
  });
  return {
    insert: (row) => rows.insert(row, renewalColumns(row.renewal)),
    find: (id) => rows.find({ id }),
    list: () => rows.list(['created_at', 'id']),
    update: (id, generation, change, lease) =>
      write('grants', async (trx) => {
        if (lease && !(await holdsLease(engine, trx, lease))) return { result: 'lease-lost' as const, changed: false };
        const columns = { ...rows.columns(change), ...('renewal' in change ? renewalColumns(change.renewal) : {}) };
        const changed = await rows.updateIn(trx, { id, generation }, { ...columns, generation: generation + 1 });
        return { result: changed ? ('written' as const) : ('changed-meanwhile' as const), changed };
      }),
    remove: (id) => rows.remove({ id }),
    claimDue: ({ applicationIds, now, until, limit }) =>
      write(undefined, async (trx) => {
        if (applicationIds.length === 0 || limit < 1) return { result: [], changed: false };
        const due = trx
          .selectFrom('grants')
          .select('id')
          .where('application_id', 'in', applicationIds)
          .where('renew_at', '<=', now)
          .orderBy('renew_at')
          .limit(limit);
        const rows = await trx
          .updateTable('grants')
          .set({ renew_at: until })
          .where('id', 'in', engine.name === 'postgres' ? due.forUpdate().skipLocked() : due)
          .returning('id')
          .execute();
        return { result: rows.map(({ id }) => id), changed: false };
      }),
    nextDue: (applicationIds) =>
      read(async (db) => {
        if (applicationIds.length === 0) return undefined;
        // One look per application: a minimum over several would not be answered from the index.
        const each = await Promise.all(
          applicationIds.map((id) =>
            db
              .selectFrom('grants')
              .select('renew_at')
              .where('application_id', '=', id)
              .where('renew_at', 'is not', null)
              .orderBy('renew_at')
              .limit(1)
              .executeTakeFirst(),
          ),
        );
        const times = each.flatMap((row) => row?.renew_at ?? []);
        return times.length === 0 ? undefined : Math.min(...times);
      }),
    makeDue: (at, which) =>
      read(async (db) => {
        const later = db.updateTable('grants').set({ renew_at: at }).where('renew_at', '>', at);
        const done = await (
          which.type === 'failing'
            ? later.where('failing', '=', 1).where('application_id', '=', which.applicationId)
            : which.type === 'these'
              ? later.where('id', 'in', [...which.ids])
              : later.where('renewed_at', '>', which.time)
        ).executeTakeFirst();
        return Number(done.numUpdatedRows);
      }),
    overview: () =>
      read(async (db) => {
        const found = await sql<Omit<GrantRow, 'tokens'>>`
          SELECT id, application_id, flow, identity, subject, scopes, state, generation, created_at, renew_at, renewal
          FROM grants`.execute(db);
        return found.rows.map(rows.from);
      }),
  };
}

function renewalColumns(renewal: RenewalRecord | undefined) {
  return { renewed_at: renewal?.renewedAt ?? null, failing: renewal?.failing ? 1 : 0 };
}
