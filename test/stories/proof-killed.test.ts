/** A sample of the kills that `npm run soak` makes 300 of (test/soak/proof-killed.test.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killWhileProving } from '../bed/proof-kills.ts';

test('L1 to L6, killed at random: what was acknowledged arrives or is reported, nothing is called delivered that is not', async () => {
  const result = await killWhileProving(3);
  assert.ok(result.acknowledged > 0);
  assert.deepEqual(result.lost, [], 'neither taken by the provider nor reported');
  assert.deepEqual(result.untrue, [], 'called delivered, and not taken by the provider');
  assert.deepEqual(result.astray, [], 'taken for somebody it was not for');
  assert.deepEqual(result.disagreeing, [], 'the log of the provider and the mailboxes');
});
