/** Members and depth of JSON are counted as its reader would find them, wherever its octets are cut. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '../../base/error.ts';
import { JsonBounds, MAX_DEPTH, MAX_ELEMENTS, MAX_MEMBERS, MAX_VALUES } from './json-bounds.ts';

/** Which bound it passes; undefined: none. */
function passed(text: string, pieces = 3): unknown {
  const bounds = new JsonBounds();
  const octets = Buffer.from(text);
  const step = Math.max(1, Math.ceil(octets.length / pieces));
  try {
    for (let at = 0; at < octets.length; at += step) bounds.add(octets.subarray(at, at + step));
    return undefined;
  } catch (error) {
    assert.ok(isError(error, 'api.request') && error.kind === 'misuse');
    return error.detail['limit'];
  }
}

const members = (count: number, one: (at: number) => string): string =>
  Array.from({ length: count }, (_, at) => one(at)).join();

test('A59: the largest that is allowed passes, one more does not', () => {
  // Commas are counted: of an object or array with one member there is none.
  assert.equal(passed(`{${members(MAX_MEMBERS + 1, (at) => `"k${at}": ${at}`)}}`), undefined);
  assert.equal(passed(`{${members(MAX_MEMBERS + 2, (at) => `"k${at}": ${at}`)}}`), 'members');
  assert.equal(passed(`[[${members(MAX_ELEMENTS + 1, () => '1')}]]`), undefined);
  assert.equal(passed(`[[${members(MAX_ELEMENTS + 2, () => '1')}]]`), 'elements');
  const rows = (count: number): string => `[${members(count, () => `[${members(100, () => '{"a":1}')}]`)}]`;
  assert.equal(passed(rows(MAX_VALUES / 110)), undefined);
  assert.equal(passed(rows(MAX_VALUES / 100)), 'values');
});

test('A60: nesting has a bound, of arrays, objects and both', () => {
  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
    ['[{"a":', '}]'],
  ] as const) {
    const most = MAX_DEPTH / (open.startsWith('[{') ? 2 : 1);
    assert.equal(passed(`${open.repeat(most)}1${close.repeat(most)}`), undefined, open);
    assert.equal(passed(`${open.repeat(most + 1)}1${close.repeat(most + 1)}`), 'depth', open);
    assert.equal(passed(open.repeat(1_000_000), 100), 'depth', open);
  }
});

test('A59: what stands in strings counts for nothing, wherever it is cut', () => {
  const text = JSON.stringify({ a: ['",[{'.repeat(9000), '\\"[', 'é\\', '\\\\"{'.repeat(9000)], '[,{"': '}]' });
  for (const pieces of [1, 2, 7, 1000, text.length]) assert.equal(passed(text, pieces), undefined);
  // After a string that ends with an escaped backslash, counting goes on.
  assert.equal(passed(`["\\\\",${members(MAX_ELEMENTS + 1, () => '""')}]`), 'elements');
});
