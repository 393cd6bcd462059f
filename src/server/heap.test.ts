import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stepFor } from './heap.ts';

const MIB = 2 ** 20;

test('a small heap may grow by much, a large one by 96 MiB or half of it', () => {
  assert.deepEqual(
    [20, 32, 64, 96, 192, 1000].map((alive) => stepFor(alive * MIB)),
    [300, 300, 150, 100, 50, 50],
  );
});
