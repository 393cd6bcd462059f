import type { Engine } from '../engine.ts';
import type { TemplateTable } from '../types-api.ts';
import { rowsOf } from './rows.ts';

export function templateTable(engine: Engine): TemplateTable {
  const { read, write } = engine;
  const rows = rowsOf(engine, 'templates', { named: { body: 'text' } });
  return {
    add: (row) =>
      write(undefined, async (trx) => {
        // Two that add at once meet in the primary key: one is told store.conflict and tries again.
        const last = await trx
          .selectFrom('templates')
          .select((eb) => eb.fn.max('version').as('version'))
          .where('name', '=', row.name)
          .executeTakeFirst();
        const version = (last?.version ?? 0) + 1;
        const stored = { ...row, version };
        await trx.insertInto('templates').values(rows.columns(stored)).execute();
        return { result: stored, changed: true };
      }),
    find: (name, version) =>
      read(async (db) => {
        const all = db.selectFrom('templates').selectAll().where('name', '=', name);
        const one =
          version === undefined ? all.orderBy('version', 'desc').limit(1) : all.where('version', '=', version);
        const row = await one.executeTakeFirst();
        return row && rows.from(row);
      }),
    list: ({ after, limit }) =>
      read(async (db) => {
        const newest = db
          .selectFrom('templates as newest')
          .select((eb) => ['newest.name', eb.fn.max('newest.version').as('version')])
          .groupBy('newest.name');
        let all = db
          .selectFrom('templates')
          .innerJoin(newest.as('last'), (join) =>
            join.onRef('last.name', '=', 'templates.name').onRef('last.version', '=', 'templates.version'),
          )
          .selectAll('templates')
          .orderBy('templates.name')
          .limit(limit);
        if (after !== undefined) all = all.where('templates.name', '>', after);
        return (await all.execute()).map(rows.from);
      }),
    versions: (name, { before, limit }) =>
      read(async (db) => {
        let all = db
          .selectFrom('templates')
          .selectAll()
          .where('name', '=', name)
          .orderBy('version', 'desc')
          .limit(limit);
        if (before !== undefined) all = all.where('version', '<', before);
        return (await all.execute()).map(rows.from);
      }),
    remove: (name) => rows.remove({ name }),
  };
}
