/** What is given out and kept by its hash, with the mailboxes it names: app passwords and API keys. */
import type { Engine } from '../engine.ts';
import type { Kept } from '../schema.ts';
import type { ApiKey, GivenTable, Withdrawal } from '../types-api.ts';
import type { Topic } from '../types.ts';
import { type Rows, rowsOf, type Shape } from './rows.ts';

type Given = 'api_keys' | 'app_passwords';

export function givenTable<K extends Given>(engine: Engine, name: K, topic: Topic, shape: Shape<K>) {
  // Only what both tables have is asked for here.
  const rows = rowsOf(engine, name, { ...shape, topic }) as unknown as Rows<'api_keys'>;
  const table: GivenTable<ApiKey> = {
    insert: (row) => rows.insert(row),
    find: (id) => rows.find({ id }),
    byHash: (hash) => rows.find({ hash }),
    list: () => rows.list(['created_at', 'id']),
    revoke: (id, at) => rows.update({ id, revoked_at: null }, { revoked_at: at }),
    withdraw: (names, at) =>
      engine.write(topic, async (trx) => {
        const holders: Withdrawal[] = [];
        let changed = false;
        for (const { id, label, mailboxes, revokedAt } of await rows.locked(trx)) {
          const left = mailboxes.filter((name) => !names.includes(name));
          if (left.length === mailboxes.length) continue;
          // What is revoked already stays so, and is not told of.
          const revoked = left.length === 0 && revokedAt === undefined;
          const change = rows.columns({ mailboxes: left, revokedAt: revoked ? at : revokedAt });
          changed = (await rows.updateIn(trx, { id }, change)) || changed;
          if (revokedAt === undefined) holders.push({ id, label, revoked });
        }
        return { result: holders, changed };
      }),
  };
  return table as unknown as GivenTable<Kept[K]>;
}
