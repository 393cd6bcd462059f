/** Tables whose rows hold one thing each, member for column: how it is written and read, and the questions they all answer. */
import { type Insertable, type RawBuilder, sql, type Selectable, type Transaction } from 'kysely';
import type { Engine } from '../engine.ts';
import type { Kept, Schema } from '../schema.ts';
import type { Topic } from '../types.ts';
import { fromJson } from './json.ts';

/** What is not as usual: the column `created_at` is the member `createdAt`, NULL is undefined, and a flag is 1 or NULL. */
export interface Shape<K extends keyof Kept> {
  /** Who watches hears of changes. */
  readonly topic?: Topic;
  /** Members kept as JSON text. */
  readonly json?: readonly (keyof Kept[K])[];
  readonly flags?: readonly (keyof Kept[K])[];
  /** Members that are missing where their column is NULL. */
  readonly optional?: readonly (keyof Kept[K])[];
  /** Members of columns with another name. */
  readonly named?: Readonly<Partial<Record<keyof Schema[K], keyof Kept[K]>>>;
  /** Columns for queries alone. */
  readonly beside?: readonly (keyof Schema[K])[];
  /** What was read, made fit for use. */
  readonly read?: (one: Kept[K]) => Kept[K];
}

type Where<K extends keyof Kept> = Readonly<Partial<Selectable<Schema[K]>>>;

export interface Rows<K extends keyof Kept> {
  /** The columns of these members. */
  columns(members: Partial<Kept[K]>): Insertable<Schema[K]>;
  /** @throws store.damaged */
  from(row: Partial<Selectable<Schema[K]>>): Kept[K];
  insert(one: Kept[K], beside?: Partial<Insertable<Schema[K]>>): Promise<void>;
  find(where: Where<K>): Promise<Kept[K] | undefined>;
  list(order: readonly (keyof Schema[K] & string)[], where?: Where<K>): Promise<readonly Kept[K][]>;
  /** Those that fit, in the order of the key, locked until the transaction ends: in one order, so that no two wait for each other. */
  locked(trx: Transaction<Schema>, where?: Where<K>): Promise<readonly Kept[K][]>;
  /** Whether there was one to change. */
  update(where: Where<K>, columns: Partial<Insertable<Schema[K]>>): Promise<boolean>;
  /** As part of a transaction. */
  updateIn(trx: Transaction<Schema>, where: Where<K>, columns: Partial<Insertable<Schema[K]>>): Promise<boolean>;
  remove(where: Where<K>): Promise<boolean>;
}

export function rowsOf<K extends keyof Kept>(engine: Engine, name: K, shape: Shape<K> = {}): Rows<K> {
  const table = sql.table(name);
  const { topic, json = [], flags = [], optional = [], named = {}, beside = [], read = (one: Kept[K]) => one } = shape;
  const members = new Map<string, string>(Object.entries(named));
  const columns = new Map([...members].map(([column, member]) => [member, column]));
  const has = (list: readonly PropertyKey[], one: string): boolean => list.includes(one);
  const written = (value: object): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(value).map(([member, one]: [string, unknown]) => {
        const stored = one === undefined ? null : has(json, member) ? JSON.stringify(one) : one;
        return [columns.get(member) ?? underscored(member), typeof stored === 'boolean' ? (stored ? 1 : null) : stored];
      }),
    );
  const from = (row: object): Kept[K] => {
    const one: Record<string, unknown> = {};
    for (const [column, stored] of Object.entries(row) as [string, unknown][]) {
      if (has(beside, column)) continue;
      let member = members.get(column);
      if (member === undefined) members.set(column, (member = camel(column)));
      if (stored !== null)
        one[member] = has(json, member)
          ? fromJson(stored as string, `${name}.${column}`)
          : has(flags, member)
            ? stored === 1
            : stored;
      else if (!has(optional, member)) one[member] = undefined;
    }
    return read(one as Kept[K]);
  };
  const fits = (where: object = {}): RawBuilder<unknown> => {
    const tests = Object.entries(where).map(([column, is]) =>
      is === null ? sql`${sql.ref(column)} IS NULL` : sql`${sql.ref(column)} = ${is}`,
    );
    return tests.length === 0 ? sql`` : sql`WHERE ${sql.join(tests, sql` AND `)}`;
  };
  /** One statement as a transaction: whether it changed anything. */
  const change = (statement: RawBuilder<unknown>): Promise<boolean> =>
    engine.write(topic, async (trx) => {
      const changed = await affects(trx, statement);
      return { result: changed, changed };
    });
  const set = (where: object, values: object): RawBuilder<unknown> => {
    const each = Object.entries(values).map(([column, value]) => sql`${sql.ref(column)} = ${value}`);
    return sql`UPDATE ${table} SET ${sql.join(each)} ${fits(where)}`;
  };
  return {
    columns: (value) => written(value) as Insertable<Schema[K]>,
    from,
    async insert(value, more) {
      const row = { ...written(value), ...more };
      const names = sql.join(Object.keys(row).map((column) => sql.ref(column)));
      await change(sql`INSERT INTO ${table} (${names}) VALUES (${sql.join(Object.values(row))})`);
    },
    find: (where) =>
      engine.read(async (db) => {
        const [row] = (await sql<object>`SELECT * FROM ${table} ${fits(where)}`.execute(db)).rows;
        return row && from(row);
      }),
    list: (order, where) =>
      engine.read(async (db) => {
        const by = sql.join(order.map((column) => sql.ref(column)));
        const { rows } = await sql<object>`SELECT * FROM ${table} ${fits(where)} ORDER BY ${by}`.execute(db);
        return rows.map(from);
      }),
    async locked(trx, where) {
      const lock = engine.name === 'postgres' ? sql`FOR UPDATE` : sql``;
      return (await sql<object>`SELECT * FROM ${table} ${fits(where)} ORDER BY 1 ${lock}`.execute(trx)).rows.map(from);
    },
    update: (where, values) => change(set(where, values)),
    updateIn: (trx, where, values) => affects(trx, set(where, values)),
    remove: (where) => change(sql`DELETE FROM ${table} ${fits(where)}`),
  };
}

async function affects(trx: Transaction<Schema>, statement: RawBuilder<unknown>): Promise<boolean> {
  return ((await statement.execute(trx)).numAffectedRows ?? 0n) > 0n;
}

const underscored = (member: string): string => member.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const camel = (column: string): string => column.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
