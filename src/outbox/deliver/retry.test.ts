import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_ASKED_MS, nextAttempt } from './retry.ts';

const FAR = Number.MAX_SAFE_INTEGER;
const middle = (): number => 0.5;

test('a server is waited for as long as it asks, but not longer than four hours, and never beyond the deadline', () => {
  assert.equal(nextAttempt(1, 0, FAR, 0, middle), 30_000);
  assert.equal(nextAttempt(1, 0, FAR, 90_000, middle), 90_000);
  assert.equal(nextAttempt(1, 0, FAR, 48 * 3_600_000, middle), 4 * 3_600_000);
  assert.equal(MAX_ASKED_MS, 4 * 3_600_000);
  assert.equal(nextAttempt(1, 0, 60_000, 90_000, middle), 60_000);
  assert.equal(nextAttempt(1, 100, 50, 90_000, middle), 100);
});

// RFC 5321 §4.5.4.1
test('attempts grow apart, up to an hour, each a fifth earlier or later', () => {
  const waits = Array.from({ length: 12 }, (_, at) => nextAttempt(at + 1, 0, FAR, 0, middle) / 60_000);
  assert.deepEqual(waits, [0.5, 1, 2, 5, 10, 20, 30, 60, 60, 60, 60, 60]);
  assert.equal(
    nextAttempt(8, 0, FAR, 0, () => 0),
    48 * 60_000,
  );
  assert.equal(
    nextAttempt(8, 0, FAR, 0, () => 1),
    72 * 60_000,
  );
});

test('retries grow, scatter, and never pass the deadline', () => {
  const now = 1000;
  const at = (attempts: number, random: number) => nextAttempt(attempts, now, 1e12, 0, () => random) - now;
  assert.deepEqual([at(1, 0.5), at(3, 0.5), at(99, 0.5)], [30_000, 120_000, 3_600_000]);
  assert.ok(at(3, 0) < at(3, 0.99));
  assert.equal(nextAttempt(5, now, now + 7, 0), now + 7);
  assert.equal(nextAttempt(1, now, 1e12, 500_000) - now, 500_000);
});
