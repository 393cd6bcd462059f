/** Which commands every server reads alike. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Segment } from '../../protocol/imap/token.ts';
import { isOneLine, isRead } from './framing.ts';

const literal = Buffer.from('xyz') as unknown as Segment;
const read = (verb: string, segments: readonly Segment[], unasked = true): boolean =>
  isRead({ tag: 'a', verb, line: verb, segments, small: true, unasked });

test('a literal that came unasked is where the command has room for one', () => {
  assert.equal(read('APPEND', ['a APPEND x ', literal, '']), true);
  assert.equal(read('APPEND', ['a APPEND x (\\Seen) "1-Jan-2026 00:00:00 +0000" ', literal, '']), true);
  assert.equal(read('APPEND', ['a APPEND x ~', literal, '']), true, 'literal8');
  assert.equal(read('APPEND', ['a APPEND "x \\" y" ', literal, '']), true);
  assert.equal(read('APPEND', ['a APPEND ', literal, ' ', literal, '']), true);
  assert.equal(read('ID', ['a ID ("name" ', literal, ')']), true);
  assert.equal(read('NOOP', ['a NOOP ', literal, '']), false);
  assert.equal(read('APPEND', ['a APPEND x y ', literal, '']), false);
  assert.equal(read('APPEND', ['a APPEND x', literal, '']), false, 'in the middle of a word');
  assert.equal(read('APPEND', ['a APPEND x ', literal, 'y']), false);
  assert.equal(read('APPEND', ['a APPEND x (y ', literal, '']), false, 'a list that does not end');
  assert.equal(read('APPEND', ['a APPEND x y) ', literal, '']), false);
  assert.equal(read('APPEND', ['a APPEND "x"y ', literal, '']), false);
  assert.equal(read('DELETE', ['a DELETE (', literal, ')']), false);
  assert.equal(read('NOOP', ['a NOOP ', literal, ''], false), true, 'the server asked for it');
  assert.equal(read('XTHING', ['a XTHING ', literal, '']), true, 'nobody knows; its session is nobody else’s');
});

test('IDLE takes nothing', () => {
  assert.equal(read('IDLE', ['a IDLE'], false), true);
  assert.equal(
    isRead({ tag: 'a', verb: 'IDLE', line: 'IDLE x', segments: ['a IDLE x'], small: true, unasked: false }),
    false,
  );
});

test('a line is one for every server: quotes close, and what looks like a literal is one', () => {
  for (const text of ['a LIST "" "x \\" \\\\ y"', 'a NOOP', 'a SEARCH x}'])
    assert.equal(isOneLine(text, false), true, text);
  for (const text of ['a LIST "', 'a LIST "x\\y"', 'a APPEND x {3}', 'a APPEND x {3+}'])
    assert.equal(isOneLine(text, false), false, text);
  for (const text of ['a APPEND x ', 'a ID (', 'a APPEND x ~']) assert.equal(isOneLine(text, true), true, text);
  for (const text of ['a APPEND x', 'a APPEND x~']) assert.equal(isOneLine(text, true), false, text);
});
