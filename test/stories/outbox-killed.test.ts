/**
 * kill -9 and cut power while mail is accepted and delivered: a sample of the points that `npm run soak` sweeps one by one
 * (test/soak/outbox-killed.test.ts).
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { without } from '../bed/need.ts';
import { type SweepResult, sweepPostfix, sweepSandbox } from '../bed/outbox-sites.ts';

const sample = { kills: 8, database: 'sqlite', sample: true, homes: 1 } as const;

function nothingLost({ acknowledged, duplicates, kills, lost }: SweepResult): void {
  assert.equal(kills, sample.kills);
  assert.ok(acknowledged > 0);
  assert.deepEqual(lost, [], 'acknowledged and lost');
  assert.deepEqual(duplicates, [], 'arrived twice without a word of it');
}

// Side by side: most of the time goes into starting processes.
describe('killed at points of a sweep', { concurrency: true }, () => {
  test(
    'a real Postfix behind: nothing acknowledged is lost',
    { skip: without('dovecot-imapd', 'postfix', 'gcc', 'libc6-dev') },
    async () => nothingLost(await sweepPostfix(sample)),
  );

  test(
    'a provider that keeps its sent mail behind: nothing is lost, and nothing arrives twice',
    { skip: without('gcc', 'libc6-dev') },
    async () => {
      const result = await sweepSandbox(sample);
      nothingLost(result);
      assert.deepEqual(result.ambiguous, []);
    },
  );
});
