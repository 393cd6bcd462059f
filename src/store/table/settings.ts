import type { Engine } from '../engine.ts';
import type { SettingTable } from '../types.ts';

export function settingTable(engine: Engine): SettingTable {
  const { read, write } = engine;
  return {
    get: (name) =>
      read(
        async (db) =>
          (await db.selectFrom('settings').select('value').where('name', '=', name).executeTakeFirst())?.value,
      ),
    setOnce: (name, value) =>
      write(undefined, async (trx) => {
        await trx
          .insertInto('settings')
          .values({ name, value })
          .onConflict((conflict) => conflict.column('name').doNothing())
          .execute();
        const row = await trx.selectFrom('settings').select('value').where('name', '=', name).executeTakeFirstOrThrow();
        return { result: row.value, changed: false };
      }),
    set: (name, value) =>
      read(async (db) => {
        await db
          .insertInto('settings')
          .values({ name, value })
          .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
          .execute();
      }),
  };
}
