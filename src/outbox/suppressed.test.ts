/** What the outbox remembers of the suppression list. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { openStore } from '../store/open.ts';
import { openSuppressed } from './suppressed.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-suppressed-'));
after(() => rmSync(folder, { recursive: true }));
const row = { address: 'bob@example.com', mailbox: '*', reason: 'bounce', note: undefined, createdAt: 1 } as const;

test('that the list is empty is remembered until word of a change comes, also of another process', async () => {
  const clock = new ManualClock();
  const url = `sqlite:${join(folder, 'a.db')}`;
  const [store, other] = [await openStore(url, { clock, writer: 'thread' }), await openStore(url, { clock })];
  const suppressed = openSuppressed(store);
  const isSuppressed = async () => (await suppressed(['bob@example.com'])).has('bob@example.com');
  assert.equal(await isSuppressed(), false);
  await store.suppressions.put(row);
  assert.equal(await isSuppressed(), true);
  await store.suppressions.remove(row.address, '*');
  assert.equal(await isSuppressed(), false);
  await other.suppressions.put(row);
  await clock.advance(2000);
  assert.equal(await isSuppressed(), true);
  await other.suppressions.remove(row.address, '*');
  await clock.advance(2000);
  assert.equal(await isSuppressed(), false);
  await Promise.all([store.close(), other.close()]);
});

test('a look at the list that a change overtakes is not relied on', async () => {
  let told = (): void => undefined;
  const looks = [Promise.withResolvers<[]>()];
  const suppressed = openSuppressed({
    watch: (_, changed) => {
      told = changed;
      return { stop: () => undefined };
    },
    suppressions: {
      list: () => looks[0]!.promise,
      match: () => Promise.resolve([row]),
      put: () => Promise.reject(new Error('not asked for')),
      remove: () => Promise.reject(new Error('not asked for')),
    },
  });
  const asked = suppressed(['bob@example.com']);
  told();
  looks[0]!.resolve([]);
  assert.deepEqual([...(await asked).keys()], ['bob@example.com']);
});
