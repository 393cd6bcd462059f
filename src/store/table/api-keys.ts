import type { Engine } from '../engine.ts';
import type { ApiKeyTable } from '../types-api.ts';
import { givenTable } from './given.ts';

export function apiKeyTable(engine: Engine): ApiKeyTable {
  return {
    ...givenTable(engine, 'api_keys', 'api-keys', { json: ['actions', 'mailboxes', 'networks'] }),
    touch: (id, at) =>
      engine.read(async (db) => {
        await db.updateTable('api_keys').set({ last_used_at: at }).where('id', '=', id).execute();
      }),
  };
}
