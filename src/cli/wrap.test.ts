import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { wrap } from './wrap.ts';

test('N15: no word is broken, no line with more than one word is too long, and nothing is lost', () => {
  fc.assert(
    fc.property(
      fc.array(fc.stringMatching(/^[a-z]{1,30}$/), { minLength: 1 }),
      fc.integer({ min: 10, max: 100 }),
      (words, width) => {
        const lines = wrap(words.join(' '), width);
        assert.equal(lines.join(' '), words.join(' '));
        assert.ok(lines.every((line) => line.length <= width || !line.includes(' ')));
      },
    ),
  );
});
