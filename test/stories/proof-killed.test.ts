/** A sample of the kills that `npm run soak` makes 300 of (test/soak/proof-killed.test.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killWhileProving } from '../bed/proof-kills.ts';

test('L1 to L6, killed at random: what was acknowledged arrives or is reported, nothing is called delivered that is not', async () => {
  const result = await killWhileProving(3);
  assert.ok(result.acknowledged > 0);
  assert.deepEqual(result.lost, [], 'neither arrived nor reported');
  assert.deepEqual(result.untrue, [], 'called delivered, and not arrived');
});
