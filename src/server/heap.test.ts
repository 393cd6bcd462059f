import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { collectWhenQuiet } from '../base/collection.ts';
import { exposeCollector, stepFor } from './heap.ts';

const MiB = 2 ** 20;

test('a small heap may grow by much, a large one by 96 MiB or half of it', () => {
  assert.deepEqual(
    [20, 32, 64, 96, 192, 1000].map((alive) => stepFor(alive * MiB)),
    [300, 300, 150, 100, 50, 50],
  );
});

test('this thread’s own garbage is given back to the system', async () => {
  exposeCollector();
  const clock = new ManualClock();
  let kept: object[] | undefined = Array.from({ length: 400_000 }, (_, n) => ({ n }));
  const before = process.memoryUsage().heapTotal;
  kept = undefined;
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { stop } = collectWhenQuiet(clock);
  await new Promise((resolve) => setTimeout(resolve, 300)); // a quiet stretch, of real time: V8 measures its own
  await clock.advance(500);
  stop();
  assert.ok(kept === undefined && process.memoryUsage().heapTotal < before - 12 * MiB);
});
