/** What is done first when the database is back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { databaseBack } from './give-back.ts';

test('claims are prolonged as soon as the database is back, and not where it was given up', async () => {
  const after = async (giveUp: AbortSignal): Promise<readonly string[]> => {
    const did: string[] = [];
    const settler = {
      away: true,
      async back() {
        did.push('back');
        this.away = did.length < 3;
      },
      outlast: <T>(work: () => Promise<T>): Promise<T> => work(),
    };
    await databaseBack(settler, { prolong: async () => void did.push('prolonged') }, giveUp);
    return did;
  };
  assert.deepEqual(await after(new AbortController().signal), ['back', 'prolonged', 'back', 'prolonged']);
  assert.deepEqual(await after(AbortSignal.abort()), ['back', 'back', 'back']);
});
