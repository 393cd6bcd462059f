/** Values of options that could only be mistakes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withIsoTimes } from './iso-times.ts';
import { collect, ipAddress, lifetime } from './value.ts';

test('D29: a lifetime of nothing and an address that is none are refused', () => {
  for (const text of ['0d', '0m', '00w']) assert.throws(() => lifetime(text), /ended at once/);
  assert.equal(lifetime('1m'), 60_000);
  for (const text of ['300.1.1.1', 'bogus', '10.0.0.0/8'])
    assert.throws(() => ipAddress(text), /numeric network address/);
  assert.equal(ipAddress('::1'), '::1');
});

test('D31: moments inside the state of a message are text, too', () => {
  const at = Date.UTC(2026, 10, 30);
  const shown = withIsoTimes({ state: { type: 'sent', at }, messages: [{ state: { nextAt: at } }] });
  const text = '2026-11-30T00:00:00.000Z';
  assert.deepEqual(shown, { state: { type: 'sent', at: text }, messages: [{ state: { nextAt: text } }] });
});

test('F60: an option that is given and empty is refused, and does not mean that there is no restriction', () => {
  for (const text of ['', ' ', ',', ' , '])
    assert.throws(() => collect(text, ['10.0.0.0/8']), { code: 'commander.invalidArgument' }, JSON.stringify(text));
  assert.deepEqual(collect('b, c,', ['a']), ['a', 'b', 'c']);
});
