/** A provider's limits on one mailbox, at their edges. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ledger } from '../../store/ledger.ts';
import { pause, reserve } from './pace.ts';

const HOUR_MS = 3_600_000;
const LIMITS = { messagesPerMinute: 3, recipientsPerDay: 100, connections: 1 };

function ledger(): Ledger {
  const entries = new Map<string, string>();
  return {
    entry: (name) => Promise.resolve(entries.get(name)),
    swapEntry: (name, before, entry) => {
      const same = entries.get(name) === before;
      if (same) entries.set(name, entry);
      return Promise.resolve(same);
    },
  };
}

test('a minute of the provider’s holds no more messages than it allows, its clock being a second off', async () => {
  const table = ledger();
  const ask = (at: number) => reserve(table, 'a@x.test', 1, LIMITS, at);
  for (const at of [0, 10_000, 20_000]) assert.equal((await ask(at)).type, 'go');
  assert.deepEqual(await ask(30_000), { type: 'wait', until: 61_000, why: 'minute' });
  assert.deepEqual(await ask(60_999), { type: 'wait', until: 61_000, why: 'minute' });
  assert.equal((await ask(61_000)).type, 'go');
  assert.deepEqual(await ask(61_000), { type: 'wait', until: 71_000, why: 'minute' });
});

test('a day holds no more recipients than it allows: each is counted, and for at least a whole day', async () => {
  const table = ledger();
  const free = { ...LIMITS, messagesPerMinute: undefined };
  const ask = (recipients: number, at: number) => reserve(table, 'a@x.test', recipients, free, at);
  const start = 1000 * HOUR_MS + HOUR_MS - 1;
  assert.equal((await ask(60, start)).type, 'go');
  assert.equal((await ask(41, start)).type, 'wait');
  assert.equal((await ask(40, start)).type, 'go');
  const full = await ask(1, start);
  assert.ok(full.type === 'wait' && full.why === 'day');
  assert.ok(full.until >= start + 24 * HOUR_MS, `${full.until - start} ms`);
  assert.equal((await ask(1, start + 24 * HOUR_MS - 1)).type, 'wait');
  assert.equal((await ask(1, full.until)).type, 'go');
});

test('a message to more recipients than a day allows leaves alone instead of never', async () => {
  const table = ledger();
  const free = { ...LIMITS, messagesPerMinute: undefined };
  const start = 1000 * HOUR_MS;
  assert.equal((await reserve(table, 'a@x.test', 500, free, start)).type, 'go');
  assert.equal((await reserve(table, 'a@x.test', 500, free, start + HOUR_MS)).type, 'wait');
  assert.equal((await reserve(table, 'a@x.test', 500, free, start + 26 * HOUR_MS)).type, 'go');
});

test('a pause is not shortened by a later, shorter one', async () => {
  const table = ledger();
  await pause(table, 'a@x.test', 50_000);
  await pause(table, 'a@x.test', 20_000);
  assert.deepEqual(await reserve(table, 'a@x.test', 1, LIMITS, 0), { type: 'wait', until: 50_000, why: 'paused' });
});

test('what a clock that ran ahead wrote down counts as sent just now', async () => {
  const table = ledger();
  const [right, ahead] = [1000 * HOUR_MS, 1030 * HOUR_MS];
  for (let count = 0; count < 3; count++) await reserve(table, 'a@x.test', 1, LIMITS, ahead);
  const next = await reserve(table, 'a@x.test', 1, LIMITS, right);
  assert.deepEqual(next, { type: 'wait', until: right + 61_000, why: 'minute' });
});
