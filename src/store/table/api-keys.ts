import type { Engine } from '../engine.ts';
import type { ApiKeyRow } from '../schema.ts';
import type { ApiKey, ApiKeyTable } from '../types-api.ts';
import { fromJson } from './json.ts';
import { withoutNames } from './withdraw.ts';

export function apiKeyTable(engine: Engine): ApiKeyTable {
  const { read, write } = engine;
  return {
    insert: (row) =>
      write('api-keys', async (trx) => {
        await trx
          .insertInto('api_keys')
          .values({
            id: row.id,
            label: row.label,
            hash: row.hash,
            actions: JSON.stringify(row.actions),
            mailboxes: JSON.stringify(row.mailboxes),
            networks: JSON.stringify(row.networks),
            rate: row.rate ?? null,
            created_at: row.createdAt,
            expires_at: row.expiresAt ?? null,
            revoked_at: row.revokedAt ?? null,
            last_used_at: row.lastUsedAt ?? null,
          })
          .execute();
        return { result: undefined, changed: true };
      }),
    find: (id) =>
      read(async (db) => apiKey(await db.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirst())),
    byHash: (hash) =>
      read(async (db) =>
        apiKey(await db.selectFrom('api_keys').selectAll().where('hash', '=', hash).executeTakeFirst()),
      ),
    list: () =>
      read(async (db) =>
        (await db.selectFrom('api_keys').selectAll().orderBy('created_at').orderBy('id').execute()).map((row) =>
          apiKey(row),
        ),
      ),
    revoke: (id, at) =>
      write('api-keys', async (trx) => {
        const done = await trx
          .updateTable('api_keys')
          .set({ revoked_at: at })
          .where('id', '=', id)
          .where('revoked_at', 'is', null)
          .executeTakeFirst();
        return { result: done.numUpdatedRows > 0n, changed: done.numUpdatedRows > 0n };
      }),
    withdraw: (names, at) =>
      write('api-keys', async (trx) => {
        const asked = trx.selectFrom('api_keys').select(['id', 'label', 'mailboxes', 'revoked_at']);
        const rows = await (engine.name === 'postgres' ? asked.forUpdate() : asked).execute();
        const found = withoutNames(rows, names, at);
        for (const { id, change } of found)
          await trx.updateTable('api_keys').set(change).where('id', '=', id).execute();
        return { result: found.flatMap(({ holder }) => holder ?? []), changed: found.length > 0 };
      }),
    touch: (id, at) =>
      read(async (db) => {
        await db.updateTable('api_keys').set({ last_used_at: at }).where('id', '=', id).execute();
      }),
  };
}

function apiKey(row: ApiKeyRow): ApiKey;
function apiKey(row: ApiKeyRow | undefined): ApiKey | undefined;
function apiKey(row: ApiKeyRow | undefined): ApiKey | undefined {
  return (
    row && {
      id: row.id,
      label: row.label,
      hash: row.hash,
      actions: fromJson(row.actions, 'api_keys.actions'),
      mailboxes: fromJson(row.mailboxes, 'api_keys.mailboxes'),
      networks: fromJson(row.networks, 'api_keys.networks'),
      rate: row.rate ?? undefined,
      createdAt: row.created_at,
      expiresAt: row.expires_at ?? undefined,
      revokedAt: row.revoked_at ?? undefined,
      lastUsedAt: row.last_used_at ?? undefined,
    }
  );
}
