/** Another program holds the write lock of the SQLite file. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { GroupCommit } from '../outbox/commit.ts';
import { storeError } from './errors.ts';
import { openStore } from './open.ts';
import type { NewMessage } from './types-outbox.ts';

test('K25: who queues for a locked database hears of it with the first, and nothing of theirs is written later', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-busy-'));
  const path = join(folder, 'postern.db');
  const store = await openStore(`sqlite:${path}`, { writer: 'thread' });
  const other = new DatabaseSync(path);
  t.after(async () => {
    other.close();
    await store.close();
    rmSync(folder, { recursive: true });
  });
  other.exec('BEGIN IMMEDIATE');
  const began = performance.now();
  const names = Array.from({ length: 12 }, (_, index) => `duty ${index}`);
  const all = names.flatMap((name) => [
    store.leases.acquire(name, 'me', 1000),
    store.settings.setOnce(name, 'x'),
    store.outbox.swapEntry(name, undefined, 'x'),
  ]);
  for (const one of await Promise.allSettled(all))
    assert.ok(one.status === 'rejected' && (one.reason as { code: string }).code === 'store.unavailable');
  const seconds = (performance.now() - began) / 1000;
  assert.ok(seconds < 12, `the last heard after ${seconds} s, the first after five`);
  other.exec('ROLLBACK');
  assert.equal(await store.settings.get('duty 3'), undefined);
  // It is tried again at once, and works.
  assert.equal(await store.settings.setOnce('duty 3', 'y'), 'y');
});

test('K25: messages that wait for a database that is away share one answer', async () => {
  const calls: number[] = [];
  const asked = Promise.withResolvers<void>();
  const commit = new GroupCommit(async (messages) => {
    calls.push(messages.length);
    await asked.promise;
    throw storeError('store.unavailable', 'it does not answer');
  });
  const message = { chunks: [] } as unknown as NewMessage;
  const all = Array.from({ length: 6 }, () => commit.add(message));
  asked.resolve();
  for (const one of await Promise.allSettled(all)) assert.equal(one.status, 'rejected');
  assert.deepEqual(calls, [1]);
});
