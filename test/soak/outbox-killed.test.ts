/**
 * The long sweeps: 1,000 kills on SQLite and 440 on PostgreSQL, at every write, fsync and reply in the life of a message, and
 * then under load. SOAK_KILLS=50 makes them shorter.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { without } from '../bed/need.ts';
import { type SweepResult, sweepPostfix, sweepSandbox } from '../bed/outbox-sites.ts';

const skip = without('dovecot-imapd', 'postfix', 'postgresql', 'gcc', 'libc6-dev');
const atMost = Number(process.env['SOAK_KILLS'] ?? Infinity);
const kills = (all: number): number => Math.min(all, atMost);

function nothingLost(t: TestContext, { summary, ...result }: SweepResult): void {
  const { ambiguous, duplicates, lost } = result;
  for (const line of summary) t.diagnostic(line);
  t.diagnostic(JSON.stringify({ ...result, ambiguous: ambiguous.length }));
  assert.deepEqual(lost, [], 'acknowledged and lost');
  assert.deepEqual(duplicates, [], 'arrived twice without a word of it');
}

test('500 kills on SQLite, a real Postfix behind: nothing acknowledged is lost', { skip }, async (t) => {
  nothingLost(t, await sweepPostfix({ kills: kills(500), database: 'sqlite' }));
});

test('500 kills on SQLite, sent mail kept: nothing lost, nothing twice', { skip }, async (t) => {
  const result = await sweepSandbox({ kills: kills(500), database: 'sqlite' });
  nothingLost(t, result);
  assert.deepEqual(result.ambiguous, []);
});

test('220 kills on PostgreSQL, a real Postfix behind: nothing acknowledged is lost', { skip }, async (t) => {
  nothingLost(t, await sweepPostfix({ kills: kills(220), database: 'postgres' }));
});

test('220 kills on PostgreSQL, sent mail kept: nothing lost, nothing twice', { skip }, async (t) => {
  const result = await sweepSandbox({ kills: kills(220), database: 'postgres' });
  nothingLost(t, result);
  assert.deepEqual(result.ambiguous, []);
});
