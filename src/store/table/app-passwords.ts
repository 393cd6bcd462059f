import type { Engine } from '../engine.ts';
import type { AppPasswordRow } from '../schema.ts';
import type { AppPassword } from '../types-access.ts';
import type { AppPasswordTable } from '../types-access.ts';
import { fromJson } from './json.ts';
import { withoutNames } from './withdraw.ts';

export function appPasswordTable(engine: Engine): AppPasswordTable {
  const { read, write } = engine;
  return {
    insert: (row) =>
      write('app-passwords', async (trx) => {
        await trx
          .insertInto('app_passwords')
          .values({
            id: row.id,
            label: row.label,
            hash: row.hash,
            mailboxes: JSON.stringify(row.mailboxes),
            protocols: JSON.stringify(row.protocols),
            networks: JSON.stringify(row.networks),
            outgoing: row.outgoing ?? null,
            drop_own_sent_copy: row.dropOwnSentCopy === true ? 1 : null,
            created_at: row.createdAt,
            expires_at: row.expiresAt ?? null,
            revoked_at: row.revokedAt ?? null,
            last_used_at: row.lastUsedAt ?? null,
          })
          .execute();
        return { result: undefined, changed: true };
      }),
    find: (id) =>
      read(async (db) =>
        appPassword(await db.selectFrom('app_passwords').selectAll().where('id', '=', id).executeTakeFirst()),
      ),
    byHash: (hash) =>
      read(async (db) =>
        appPassword(await db.selectFrom('app_passwords').selectAll().where('hash', '=', hash).executeTakeFirst()),
      ),
    list: () =>
      read(async (db) =>
        (await db.selectFrom('app_passwords').selectAll().orderBy('created_at').orderBy('id').execute()).map((row) =>
          appPassword(row),
        ),
      ),
    revoke: (id, at) =>
      write('app-passwords', async (trx) => {
        const done = await trx
          .updateTable('app_passwords')
          .set({ revoked_at: at })
          .where('id', '=', id)
          .where('revoked_at', 'is', null)
          .executeTakeFirst();
        return { result: done.numUpdatedRows > 0n, changed: done.numUpdatedRows > 0n };
      }),
    withdraw: (names, at) =>
      write('app-passwords', async (trx) => {
        const asked = trx.selectFrom('app_passwords').select(['id', 'label', 'mailboxes', 'revoked_at']);
        const rows = await (engine.name === 'postgres' ? asked.forUpdate() : asked).execute();
        const found = withoutNames(rows, names, at);
        for (const { id, change } of found)
          await trx.updateTable('app_passwords').set(change).where('id', '=', id).execute();
        return { result: found.flatMap(({ holder }) => holder ?? []), changed: found.length > 0 };
      }),
    touch: (used) =>
      // No topic: nobody decides anything by this column, and a sign-in must not make every process read the table again.
      write(undefined, async (trx) => {
        for (const { id, at } of used) {
          await trx.updateTable('app_passwords').set({ last_used_at: at }).where('id', '=', id).execute();
        }
        return { result: undefined, changed: false };
      }),
  };
}

function appPassword(row: AppPasswordRow): AppPassword;
function appPassword(row: AppPasswordRow | undefined): AppPassword | undefined;
function appPassword(row: AppPasswordRow | undefined): AppPassword | undefined {
  return (
    row && {
      id: row.id,
      label: row.label,
      hash: row.hash,
      mailboxes: fromJson(row.mailboxes, 'app_passwords.mailboxes'),
      protocols: fromJson(row.protocols, 'app_passwords.protocols'),
      networks: fromJson(row.networks, 'app_passwords.networks'),
      ...(row.outgoing === null ? {} : { outgoing: row.outgoing as 'direct' | 'outbox' }),
      ...(row.drop_own_sent_copy === null ? {} : { dropOwnSentCopy: true }),
      createdAt: row.created_at,
      expiresAt: row.expires_at ?? undefined,
      revokedAt: row.revoked_at ?? undefined,
      lastUsedAt: row.last_used_at ?? undefined,
    }
  );
}
