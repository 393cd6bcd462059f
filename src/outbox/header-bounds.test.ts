/** How long a header may be, and that reading one takes time by its length alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { grows } from '../../test/bed/growth.ts';
import { openOutboxBed } from '../../test/bed/outbox.ts';
import { parseAddresses } from '../protocol/mime/address.ts';
import { readAddressList } from '../protocol/mime/address-list.ts';
import { HeaderReader, MAX_HEADER } from '../protocol/mime/header-fields.ts';
import { headerAddresses } from './header-addresses.ts';

test('S1: reading a header takes time by its length, whatever it holds', async () => {
  const runs = [
    '"',
    '(',
    '<',
    '\\',
    ' ',
    ',',
    '@',
    '.',
    ':',
    ';',
    '[',
    '()',
    '<>',
    '""',
    '"a" ',
    'a ',
    '(\\',
    ' =?',
    'a@b,',
    '\t',
    'x',
  ];
  for (const run of runs)
    for (const end of ['', '!', '>', '"x@y'])
      await grows(
        (length) => {
          const text = run.repeat(Math.ceil(length / run.length)) + end;
          return () => readAddressList(text);
        },
        JSON.stringify(`${run}…${end}`),
        [15_000, 60_000, 240_000],
      );
});

test('S1: what is longer than a header may be is refused before it is read', () => {
  const header = (octets: number): Buffer => Buffer.from(`To: ${'a@b.test,'.repeat(octets)}`.slice(0, octets));
  assert.ok(headerAddresses(header(MAX_HEADER)).recipients.length > 0);
  assert.throws(() => headerAddresses(header(MAX_HEADER + 1)), { code: 'outbox.header' });
  const list = 'a@b.test,'.repeat(MAX_HEADER / 8);
  assert.equal(readAddressList(list.slice(0, MAX_HEADER)).problem, undefined);
  assert.match(readAddressList(list.slice(0, MAX_HEADER + 1)).problem!, /more than \d+ characters/);
  assert.equal(parseAddresses(list).length, parseAddresses(list.slice(0, MAX_HEADER)).length);
});

test('S1: a header without an end is refused as soon as it is too long', async (t) => {
  const bed = await openOutboxBed();
  t.after(bed.close);
  let came = 0;
  const endless = function* (): Generator<Buffer> {
    for (; came < 4 * MAX_HEADER; came += MAX_HEADER / 4) yield Buffer.alloc(MAX_HEADER / 4, 'a');
  };
  await assert.rejects(bed.outbox.accept(bed.request(), endless()), { code: 'outbox.header' });
  assert.equal(came, MAX_HEADER);
});

test('S1: however it is cut, a header has its bound', () => {
  const header = (octets: number): Buffer => Buffer.from(`X: ${'a'.repeat(octets - 7)}\r\n\r\n`);
  for (const size of [1000, 100_000, 2 * MAX_HEADER])
    for (const octets of [MAX_HEADER, MAX_HEADER + 1]) {
      const reader = new HeaderReader();
      let end: number | undefined;
      for (let at = 0; at < octets; at += size) end = reader.add(header(octets).subarray(at, at + size));
      assert.equal(end, octets > MAX_HEADER ? undefined : octets);
      assert.equal(reader.endless, octets > MAX_HEADER);
    }
});

test('S1: a header that comes octet by octet is looked at once', async () => {
  await grows(
    (length) => () => {
      const header = Buffer.from(`X: ${'a'.repeat(length - 7)}\r\n\r\n`);
      const reader = new HeaderReader();
      let end: number | undefined;
      for (let at = 0; at < header.length; at++) end = reader.add(header.subarray(at, at + 1));
      assert.equal(end, header.length);
      assert.ok(reader.octets.equals(header));
    },
    'octet by octet',
    [MAX_HEADER / 16, MAX_HEADER / 4, MAX_HEADER],
  );
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('\r\n', 'a', '\r\n\r\n', 'b: c'), { maxLength: 8 }),
      fc.integer({ min: 1, max: 4 }),
      (parts, size) => {
        const whole = Buffer.from(parts.join(''));
        const pieces = new HeaderReader();
        let found: number | undefined;
        for (let at = 0; at < whole.length && found === undefined; at += size)
          found = pieces.add(whole.subarray(at, at + size));
        const expected = whole.subarray(0, 2).toString() === '\r\n' ? 2 : whole.indexOf('\r\n\r\n') + 4;
        assert.equal(found, expected === 3 ? undefined : expected);
      },
    ),
  );
});
