import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inOrder } from './in-order.ts';

test('results come in order however the work ends, and no more than a few run at a time', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(9), { maxLength: 20 }), fc.integer({ min: 1, max: 5 }), async (delays, most) => {
      let running = 0;
      let peak = 0;
      const turns: number[] = [];
      const results: number[] = [];
      const items = delays.map((delay, index) => ({ delay, index }));
      const all = inOrder(items, most, ({ delay, index }) => {
        const work = async (): Promise<number> => {
          peak = Math.max(peak, ++running);
          for (let tick = 0; tick < delay; tick++) await Promise.resolve();
          running -= 1;
          return index;
        };
        return { result: work(), turn: () => void turns.push(index) };
      });
      for await (const result of all) results.push(result);
      const order = items.map(({ index }) => index);
      assert.deepEqual(results, order);
      assert.deepEqual(turns, order);
      assert.ok(peak <= most, `${peak} at once`);
    }),
    { numRuns: 200 },
  );
});

test('a failure is thrown in its turn, after what runs, and begins nothing new', async () => {
  const begun: number[] = [];
  const got: number[] = [];
  const late = Promise.withResolvers<number>();
  const all = inOrder([0, 1, 2, 3, 4], 3, (item) => {
    begun.push(item);
    if (item === 2) return { result: late.promise };
    return { result: item === 1 ? Promise.reject(new Error('no')) : Promise.resolve(item) };
  });
  const done = (async () => {
    for await (const item of all) got.push(item);
  })();
  late.resolve(2);
  await assert.rejects(done, /no/);
  assert.deepEqual([got, begun], [[0], [0, 1, 2]]);
});
