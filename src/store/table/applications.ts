import type { Engine } from '../engine.ts';
import { storeError } from '../errors.ts';
import type { ApplicationRow } from '../schema.ts';
import type { Application, ApplicationTable } from '../types.ts';
import { defined, fromJson, nullable } from './json.ts';

export function applicationTable(engine: Engine): ApplicationTable {
  const { read, write } = engine;
  return {
    insert: (row) =>
      write('applications', async (trx) => {
        await trx
          .insertInto('applications')
          .values({
            id: row.id,
            name: row.name,
            provider: row.provider,
            client_id: row.clientId,
            tenant: row.tenant ?? null,
            settings: JSON.stringify(row.settings),
            credential: row.credential ?? null,
            created_at: row.createdAt,
            credentials: JSON.stringify(row.credentials ?? []),
          })
          .execute();
        return { result: undefined, changed: true };
      }),
    update: (id, change) =>
      write('applications', async (trx) => {
        const values = columnsOf(change);
        // The id set to itself: an empty change is still an answer to whether the row is there.
        const done = await trx
          .updateTable('applications')
          .set({ ...values, id })
          .where('id', '=', id)
          .executeTakeFirst();
        if (done.numUpdatedRows === 0n) throw storeError('store.not-found', `there is no application ${id}`);
        return { result: undefined, changed: true };
      }),
    replace: (before, change) =>
      write('applications', async (trx) => {
        const { id } = before;
        const asked = trx.selectFrom('applications').selectAll().where('id', '=', id);
        const row = await (engine.name === 'postgres' ? asked.forUpdate() : asked).executeTakeFirst();
        if (!row || !isSame(application(row), before)) return { result: false, changed: false };
        await trx
          .updateTable('applications')
          .set({ ...columnsOf(change), id })
          .where('id', '=', id)
          .execute();
        return { result: true, changed: true };
      }),
    find: (id) =>
      read(async (db) =>
        application(await db.selectFrom('applications').selectAll().where('id', '=', id).executeTakeFirst()),
      ),
    byName: (name) =>
      read(async (db) =>
        application(await db.selectFrom('applications').selectAll().where('name', '=', name).executeTakeFirst()),
      ),
    list: () =>
      read(async (db) =>
        (await db.selectFrom('applications').selectAll().orderBy('name').execute()).map((row) => application(row)),
      ),
    remove: (id) =>
      write('applications', async (trx) => {
        const done = await trx.deleteFrom('applications').where('id', '=', id).executeTakeFirst();
        return { result: done.numDeletedRows > 0n, changed: done.numDeletedRows > 0n };
      }),
  };
}

/** What {@link columnsOf} writes, but credentials: those have their own lease. */
function isSame(one: Application, other: Application): boolean {
  const text = ({ name, provider, clientId, tenant, settings }: Application): string =>
    JSON.stringify([name, provider, clientId, tenant, settings]);
  return text(one) === text(other);
}

function columnsOf(change: Partial<Omit<Application, 'id' | 'createdAt'>>) {
  return defined({
    name: change.name,
    provider: change.provider,
    client_id: change.clientId,
    tenant: nullable(change, 'tenant'),
    settings: change.settings && JSON.stringify(change.settings),
    credential: nullable(change, 'credential'),
    credentials: change.credentials && JSON.stringify(change.credentials),
  });
}

function application(row: ApplicationRow): Application;
function application(row: ApplicationRow | undefined): Application | undefined;
function application(row: ApplicationRow | undefined): Application | undefined {
  return (
    row && {
      id: row.id,
      name: row.name,
      provider: row.provider,
      clientId: row.client_id,
      tenant: row.tenant ?? undefined,
      settings: fromJson(row.settings, 'applications.settings'),
      credential: row.credential ?? undefined,
      credentials: fromJson(row.credentials, 'applications.credentials'),
      createdAt: row.created_at,
    }
  );
}
