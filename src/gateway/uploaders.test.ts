import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { Uploaders } from './uploaders.ts';

void test('an address is known for an hour after an upload, not after a session of commands', async () => {
  const clock = new ManualClock();
  const uploaders = new Uploaders(clock);
  uploaders.learn('192.0.2.1', 50_000);
  uploaders.learn('192.0.2.2', 25_000_000);
  assert.equal(uploaders.has('192.0.2.1'), false);
  assert.equal(uploaders.has('192.0.2.2'), true);
  await clock.advance(3_000_000);
  uploaders.learn('192.0.2.2', 2_000_000);
  await clock.advance(3_000_000);
  assert.equal(uploaders.has('192.0.2.2'), true, 'counted from the last one');
  await clock.advance(600_001);
  assert.equal(uploaders.has('192.0.2.2'), false);
});

void test('a thousand addresses are remembered, those that uploaded last', () => {
  const uploaders = new Uploaders(new ManualClock());
  const address = (n: number): string => `10.0.${n >> 8}.${n & 255}`;
  for (let n = 0; n < 1000; n++) uploaders.learn(address(n), 2_000_000);
  uploaders.learn(address(0), 2_000_000);
  uploaders.learn(address(1000), 2_000_000);
  assert.deepEqual(
    [0, 1, 2, 1000].map((n) => uploaders.has(address(n))),
    [true, false, true, true],
  );
});
