/** The long sweeps of test/stories/outbox-killed.test.ts: 1,000 kills on SQLite, 300 on PostgreSQL. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { without } from '../bed/need.ts';
import { sweepPostfix, sweepSandbox } from '../bed/outbox-sites.ts';

const skip = without('dovecot-imapd', 'postfix', 'postgresql');

test('500 kills on SQLite with a real Postfix behind: nothing acknowledged is lost', { skip }, async () => {
  const { acknowledged } = await sweepPostfix({ kills: 500, database: 'sqlite' });
  assert.ok(acknowledged > 500);
});

test('500 kills on SQLite with sent mail kept: nothing lost, nothing twice', async () => {
  const { acknowledged, duplicates } = await sweepSandbox({ kills: 500, database: 'sqlite' });
  assert.ok(acknowledged > 500);
  assert.equal(duplicates, 0);
});

test('300 kills on PostgreSQL with sent mail kept: nothing lost, nothing twice', { skip }, async () => {
  const { acknowledged, duplicates } = await sweepSandbox({ kills: 300, database: 'postgres' });
  assert.ok(acknowledged > 300);
  assert.equal(duplicates, 0);
});
