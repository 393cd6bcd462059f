import { type Kysely, sql } from 'kysely';
import type { Engine } from '../engine.ts';
import type { Schema } from '../schema.ts';
import type { Space, SpaceTable } from '../types.ts';

export function spaceTable(engine: Engine): SpaceTable {
  const { read, name } = engine;
  const state = async (db: Kysely<Schema>): Promise<Space> => {
    if (name === 'postgres') return { octets: 0, free: 0, gives: 'by itself' };
    const size = await pragma(db, 'page_size');
    return {
      octets: size * (await pragma(db, 'page_count')),
      free: size * (await pragma(db, 'freelist_count')),
      gives: (await pragma(db, 'auto_vacuum')) === INCREMENTAL ? 'while running' : 'compacted',
    };
  };
  return {
    state: () => read(state),
    damage: (octets) =>
      read(async (db) => {
        if (name === 'postgres') return undefined;
        if ((await state(db)).octets <= octets) {
          const { rows } = await sql.raw<Record<string, string>>('PRAGMA quick_check(1)').execute(db);
          const said = Object.values(rows[0] ?? {})[0];
          return said === undefined || said === 'ok' ? undefined : said;
        }
        const tables = await sql<{ name: string }>`SELECT name FROM sqlite_schema WHERE type = 'table'`.execute(db);
        for (const table of tables.rows)
          await sql`SELECT 1 FROM ${sql.table(table.name)} NOT INDEXED LIMIT 1`.execute(db);
        return undefined;
      }),
    release: (octets) =>
      read(async (db) => {
        const before = await state(db);
        if (before.gives !== 'while running') return 0;
        const pages = Math.ceil(octets / (await pragma(db, 'page_size')));
        await sql.raw(`PRAGMA incremental_vacuum(${pages})`).execute(db);
        return before.free - (await state(db)).free;
      }),
    compact: () =>
      read(async (db) => {
        if (name === 'postgres') return state(db);
        await sql.raw('PRAGMA auto_vacuum = INCREMENTAL').execute(db);
        await sql.raw('VACUUM').execute(db);
        await sql.raw('PRAGMA wal_checkpoint(TRUNCATE)').execute(db);
        return state(db);
      }),
  };
}

/** https://sqlite.org/pragma.html#pragma_auto_vacuum */
const INCREMENTAL = 2;

async function pragma(db: Kysely<Schema>, name: string): Promise<number> {
  const { rows } = await sql.raw<Record<string, number>>(`PRAGMA ${name}`).execute(db);
  return rows[0]?.[name] ?? 0;
}
