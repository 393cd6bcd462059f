import type { Engine } from '../engine.ts';
import type { TemplateRow } from '../schema.ts';
import type { Template, TemplateTable } from '../types-api.ts';

export function templateTable(engine: Engine): TemplateTable {
  const { read, write } = engine;
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
        await trx
          .insertInto('templates')
          .values({
            name: row.name,
            version,
            subject: row.subject,
            html: row.html ?? null,
            body: row.text ?? null,
            created_at: row.createdAt,
          })
          .execute();
        return { result: { ...row, version }, changed: true };
      }),
    find: (name, version) =>
      read(async (db) => {
        const all = db.selectFrom('templates').selectAll().where('name', '=', name);
        const one =
          version === undefined ? all.orderBy('version', 'desc').limit(1) : all.where('version', '=', version);
        const row = await one.executeTakeFirst();
        return row && template(row);
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
        return (await all.execute()).map(template);
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
        return (await all.execute()).map(template);
      }),
    remove: (name) =>
      read(
        async (db) =>
          (await db.deleteFrom('templates').where('name', '=', name).executeTakeFirst()).numDeletedRows > 0n,
      ),
  };
}

function template(row: TemplateRow): Template {
  return {
    name: row.name,
    version: row.version,
    subject: row.subject,
    html: row.html ?? undefined,
    text: row.body ?? undefined,
    createdAt: row.created_at,
  };
}
