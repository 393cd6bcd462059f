import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asciiUpper, foldCase } from './case.ts';

test('A64: no character beyond ASCII becomes an ASCII letter when case is folded', () => {
  assert.equal(foldCase('KATE@X.Test'), 'kate@x.test');
  assert.equal(foldCase('JÜRGEN@X.TEST'), 'jürgen@x.test');
  assert.notEqual(foldCase('\u212aate@x.test'), 'kate@x.test');
  for (let code = 0x80; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const text = String.fromCodePoint(code);
    assert.doesNotMatch(foldCase(text), /[\0-\x7f]/, code.toString(16));
    assert.equal(asciiUpper(text), text);
  }
});
