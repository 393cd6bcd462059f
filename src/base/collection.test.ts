/** When a heap is collected, and that it helps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collectWhenQuiet } from './collection.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';

const MiB = 1024 * 1024;

/** A heap of so many MiB, a third of which is garbage. */
function heapOf(start: { busy?: number; used: number; takes?: number }) {
  const heap = { load: start.busy ?? 0, size: start.used * MiB, collections: 0 };
  return Object.assign(heap, {
    busy: () => heap.load,
    used: () => heap.size,
    collect() {
      heap.collections += 1;
      heap.size = Math.ceil((heap.size * 2) / 3);
      return start.takes ?? 50;
    },
  });
}

test('what a start has left behind is collected in the first quiet moment, once', async () => {
  const clock = new ManualClock();
  const heap = heapOf({ used: 24, busy: 0.7 });
  const { stop } = collectWhenQuiet(clock, heap);
  await clock.advance(2000);
  assert.equal(heap.collections, 0, 'not while it works');
  heap.load = 0.01;
  await clock.advance(60_000);
  assert.equal(heap.collections, 1);
  stop();
});

test('again when it has grown, and not sooner than twenty times what the last took', async () => {
  const clock = new ManualClock();
  const heap = heapOf({ used: 24, takes: 200 });
  const { stop } = collectWhenQuiet(clock, heap);
  await clock.advance(500);
  assert.equal(heap.collections, 1);
  heap.size += 7 * MiB;
  await clock.advance(10_000);
  assert.equal(heap.collections, 1, 'seven more are not worth it');
  heap.size += 10 * MiB;
  await clock.advance(500);
  assert.equal(heap.collections, 2);
  heap.size += 10 * MiB;
  await clock.advance(3500);
  assert.equal(heap.collections, 2);
  await clock.advance(250);
  assert.equal(heap.collections, 3);
  stop();
});

test('a heap so large that everybody would notice is left to V8, and so is everything after the stop', async () => {
  const clock = new ManualClock();
  const large = heapOf({ used: 65 });
  const small = heapOf({ used: 24 });
  const watches = [collectWhenQuiet(clock, large), collectWhenQuiet(clock, small)];
  await clock.advance(5000);
  for (const watch of watches) watch.stop();
  small.size = 60 * MiB;
  await clock.advance(5000);
  assert.equal(large.collections, 0);
  assert.equal(small.collections, 1);
});
