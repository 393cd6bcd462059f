import type { Engine } from '../engine.ts';
import type { GrantRow } from '../schema.ts';
import type { Flow, Grant, GrantTable, RenewalRecord } from '../types.ts';
import { defined, fromJson, nullable } from './json.ts';
import { holdsLease } from './leases.ts';

export function grantTable(engine: Engine): GrantTable {
  const { read, write } = engine;
  return {
    insert: (row) =>
      write('grants', async (trx) => {
        await trx
          .insertInto('grants')
          .values({
            id: row.id,
            application_id: row.applicationId,
            flow: row.flow,
            identity: row.identity,
            subject: row.subject ?? null,
            scopes: JSON.stringify(row.scopes),
            state: JSON.stringify(row.state),
            tokens: row.tokens ?? null,
            generation: row.generation,
            created_at: row.createdAt,
            renew_at: row.renewAt ?? null,
            ...renewalColumns(row.renewal),
          })
          .execute();
        return { result: undefined, changed: true };
      }),
    find: (id) =>
      read(async (db) => grant(await db.selectFrom('grants').selectAll().where('id', '=', id).executeTakeFirst())),
    list: () =>
      read(async (db) =>
        (await db.selectFrom('grants').selectAll().orderBy('created_at').orderBy('id').execute()).map((row) =>
          grant(row),
        ),
      ),
    update: (id, generation, change, lease) =>
      write('grants', async (trx) => {
        if (lease && !(await holdsLease(engine, trx, lease))) return { result: 'lease-lost' as const, changed: false };
        const values = defined({
          application_id: change.applicationId,
          flow: change.flow,
          identity: change.identity,
          subject: nullable(change, 'subject'),
          scopes: change.scopes && JSON.stringify(change.scopes),
          state: change.state && JSON.stringify(change.state),
          tokens: nullable(change, 'tokens'),
          renew_at: nullable(change, 'renewAt'),
          ...('renewal' in change ? renewalColumns(change.renewal) : {}),
        });
        const done = await trx
          .updateTable('grants')
          .set({ ...values, generation: generation + 1 })
          .where('id', '=', id)
          .where('generation', '=', generation)
          .executeTakeFirst();
        if (done.numUpdatedRows === 0n) return { result: 'changed-meanwhile' as const, changed: false };
        return { result: 'written' as const, changed: true };
      }),
    remove: (id) =>
      write('grants', async (trx) => {
        const done = await trx.deleteFrom('grants').where('id', '=', id).executeTakeFirst();
        return { result: done.numDeletedRows > 0n, changed: done.numDeletedRows > 0n };
      }),
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
    overview: () => read(async (db) => (await db.selectFrom('grants').select(FACTS).execute()).map(facts)),
  };
}

const FACTS = [
  'id',
  'application_id',
  'flow',
  'identity',
  'subject',
  'scopes',
  'state',
  'generation',
  'created_at',
  'renew_at',
  'renewal',
] as const;

function renewalColumns(renewal: RenewalRecord | undefined) {
  return {
    renewal: renewal ? JSON.stringify(renewal) : null,
    renewed_at: renewal?.renewedAt ?? null,
    failing: renewal?.failing ? 1 : 0,
  };
}

function grant(row: GrantRow): Grant;
function grant(row: GrantRow | undefined): Grant | undefined;
function grant(row: GrantRow | undefined): Grant | undefined {
  return row && { ...facts(row), tokens: row.tokens ?? undefined };
}

function facts(row: Pick<GrantRow, (typeof FACTS)[number]>): Omit<Grant, 'tokens'> {
  return {
    id: row.id,
    applicationId: row.application_id,
    flow: row.flow as Flow,
    identity: row.identity,
    subject: row.subject ?? undefined,
    scopes: fromJson(row.scopes, 'grants.scopes'),
    state: fromJson(row.state, 'grants.state'),
    generation: row.generation,
    createdAt: row.created_at,
    renewAt: row.renew_at ?? undefined,
    renewal: row.renewal === null ? undefined : fromJson(row.renewal, 'grants.renewal'),
  };
}
