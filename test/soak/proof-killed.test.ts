/** 300 kills, by SIGKILL and SIGTERM, while faults of delivery are switched at random. SOAK_KILLS=50 makes it shorter. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killWhileProving } from '../bed/proof-kills.ts';

test('L1 to L6, 300 kills: what was acknowledged arrives or is reported, nothing is called delivered that is not', async (t) => {
  const result = await killWhileProving(Number(process.env['SOAK_KILLS'] ?? 300));
  t.diagnostic(JSON.stringify(result));
  assert.deepEqual(result.lost, [], 'neither arrived nor reported');
  assert.deepEqual(result.untrue, [], 'called delivered, and not arrived');
});
