import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asciiLine } from './ascii-line.ts';

test('F9: what a keyboard lacks is written with what it has, and a line stays one line within its bound', () => {
  assert.equal(asciiLine('an address (as in §4.1.2)', 100), 'an address (as in section 4.1.2)');
  assert.equal(asciiLine('the preset’s “name” – here…', 100), 'the preset\'s "name" - here...');
  assert.equal(asciiLine('a\r\nb\u0000c', 100), 'a b c');
  assert.equal(asciiLine('x'.repeat(50), 20), `${'x'.repeat(17)}...`);
});
