import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, printableJson, printableLines } from './printable.ts';

const HOSTILE = 'alice\u001b[2J\u009b1A\u0007\u202egnp.exe\u2066\u007f\r\nforged line\ttab é 東京';

test('S9: controls and what turns the direction of text are shown, not sent', () => {
  assert.equal(
    printable(HOSTILE),
    String.raw`alice\u001b[2J\u009b1A\u0007\u202egnp.exe\u2066\u007f\u000d\u000aforged line\u0009tab é 東京`,
  );
  assert.equal(
    printableLines(HOSTILE),
    `${String.raw`alice\u001b[2J\u009b1A\u0007\u202egnp.exe\u2066\u007f`}\nforged line\ttab é 東京`,
  );
});

test('S9: JSON stays the same value', () => {
  const value = { user: HOSTILE, [HOSTILE]: [HOSTILE] };
  for (const space of [undefined, 2]) {
    const shown = printableJson(JSON.stringify(value, null, space));
    assert.deepEqual(JSON.parse(shown), value);
    assert.doesNotMatch(shown, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
  }
});
