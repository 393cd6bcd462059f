import type { Engine } from '../engine.ts';
import type { GrantRow } from '../schema.ts';
import type { Flow, Grant, GrantTable } from '../types.ts';
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
  };
}

function grant(row: GrantRow): Grant;
function grant(row: GrantRow | undefined): Grant | undefined;
function grant(row: GrantRow | undefined): Grant | undefined {
  return (
    row && {
      id: row.id,
      applicationId: row.application_id,
      flow: row.flow as Flow,
      identity: row.identity,
      subject: row.subject ?? undefined,
      scopes: fromJson(row.scopes, 'grants.scopes'),
      state: fromJson(row.state, 'grants.state'),
      tokens: row.tokens ?? undefined,
      generation: row.generation,
      createdAt: row.created_at,
    }
  );
}
