/**
 * 300 kills, by SIGKILL and SIGTERM, while faults of delivery are switched at random, on three installations at once. SOAK_KILLS=50
 * makes it shorter, KILL_SEED repeats it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killWhileProving } from '../bed/proof-kills.ts';

/** A process that starts uses one core, one that waits none. */
const LANES = 3;
const OF_EACH = Math.ceil(Number(process.env['SOAK_KILLS'] ?? 300) / LANES);

test(`L1 to L6, Q6, ${OF_EACH * LANES} kills: what was acknowledged arrives or is reported, nothing is called delivered that is not`, async (t) => {
  const seed = Number(process.env['KILL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  const results = await Promise.all(Array.from({ length: LANES }, (_, lane) => killWhileProving(OF_EACH, seed + lane)));
  for (const result of results) t.diagnostic(JSON.stringify(result));
  const all = (name: 'lost' | 'untrue' | 'astray' | 'disagreeing') => results.flatMap((result) => result[name]);
  assert.deepEqual(all('lost'), [], 'neither taken by the provider nor reported');
  assert.deepEqual(all('untrue'), [], 'called delivered, and not taken by the provider');
  assert.deepEqual(all('astray'), [], 'taken for somebody it was not for');
  assert.deepEqual(all('disagreeing'), [], 'the log of the provider and the mailboxes');
  if (OF_EACH < 40) return;
  for (const { byGraph, largest, ownCopies, recipients, twice } of results) {
    assert.ok(byGraph > 0 && ownCopies > 0 && twice < recipients / 2);
    assert.ok(largest >= 400, 'some of the message for 501 was taken together');
  }
});
