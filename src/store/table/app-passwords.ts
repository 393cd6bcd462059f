import type { Engine } from '../engine.ts';
import type { AppPasswordTable } from '../types-access.ts';
import { givenTable } from './given.ts';

export function appPasswordTable(engine: Engine): AppPasswordTable {
  return {
    ...givenTable(engine, 'app_passwords', 'app-passwords', {
      json: ['mailboxes', 'protocols', 'networks'],
      flags: ['dropOwnSentCopy'],
      optional: ['outgoing', 'dropOwnSentCopy'],
    }),
    touch: (used) =>
      // No topic: nobody decides anything by this column, and a sign-in must not make every process read the table again.
      engine.write(undefined, async (trx) => {
        for (const { id, at } of used)
          await trx.updateTable('app_passwords').set({ last_used_at: at }).where('id', '=', id).execute();
        return { result: undefined, changed: false };
      }),
  };
}
