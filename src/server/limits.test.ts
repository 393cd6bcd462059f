/** limits: of postern.yaml on its way to the gateway, and timers as long as any of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { defaultLimits } from '../gateway/start.ts';
import { parseConfig } from './config.ts';
import { MAX_DURATION_MS } from './config-value.ts';
import { limitsOf } from './gateway.ts';

test('D28: one time of silence may be set alone; the others keep their default', () => {
  const { limits } = parseConfig('limits: { idleMs: { imap: 1000 } }', 'postern.yaml');
  assert.deepEqual(limitsOf(limits).idleMs, { ...defaultLimits.idleMs, imap: 1000 });
  assert.deepEqual(limitsOf(parseConfig('', 'postern.yaml').limits), { idleMs: defaultLimits.idleMs });
});

test('D21: no time that may be set, and none that comes from a date, fires at once', async () => {
  const early: number[] = [];
  const long = [MAX_DURATION_MS, 2 ** 31 - 1, 2 ** 31, 99_999_999_999, Number.POSITIVE_INFINITY];
  const timers = long.map((ms) => systemClock.after(ms, () => early.push(ms)));
  // Node makes a timeout of more than 2^31-1 milliseconds one of a single millisecond.
  await systemClock.sleep(5);
  for (const timer of timers) timer.cancel();
  assert.deepEqual(early, []);
});
