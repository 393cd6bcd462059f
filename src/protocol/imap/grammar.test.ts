import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isError } from '../../base/error.ts';
import { formatDateTime, parseDateTime } from './date.ts';
import { parseFetchItems } from './verb/fetch.ts';
import { decodeMailboxName, encodeMailboxName } from './mailbox-name.ts';
import { parseSearch } from './verb/search.ts';
import { formatSequenceSet, parseSequenceSet, sequenceMatcher } from './sequence-set.ts';
import { announcedLiteral, CommandReader, formatString } from './token.ts';

const syntax = (error: unknown): boolean => isError(error, 'wire.syntax');

// RFC 3501 §9
test('a formatted set matches exactly its numbers', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (values) => {
      const matches = sequenceMatcher(parseSequenceSet(formatSequenceSet(values)), 60);
      for (let value = 1; value <= 61; value++) assert.equal(matches(value), values.includes(value));
    }),
  );
});

test('a set with * reaches to the largest number, in either order', () => {
  const matches = sequenceMatcher(parseSequenceSet('*:5'), 3);
  assert.deepEqual([2, 3, 4, 5, 6].map(matches), [false, true, true, true, false]);
  for (const text of ['', '0', '1:', '1:2:3', '4294967296', 'a', '1,,2'])
    assert.throws(() => parseSequenceSet(text), syntax);
});

// RFC 3501 §5.1.3
test('mailbox names survive modified UTF-7', () => {
  assert.equal(encodeMailboxName('~peter/mail/台北/日本語'), '~peter/mail/&U,BTFw-/&ZeVnLIqe-');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) =>
      assert.equal(decodeMailboxName(encodeMailboxName(name)), name),
    ),
  );
  for (const text of ['&', '&Jjo', '&*-', 'é']) assert.throws(() => decodeMailboxName(text), syntax);
});

// RFC 9051 §4.3
test('strings survive quoting or a literal', () => {
  const octets = fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('latin1'));
  fc.assert(
    fc.property(octets, (text) => {
      const formatted = formatString(text);
      const line = /^\{\d+\}\r\n/.exec(formatted)?.[0];
      const segments = line ? [announcedLiteral(line.trimEnd())!.text, Buffer.from(text, 'latin1')] : [formatted];
      const reader = new CommandReader(segments);
      assert.equal(reader.astring().toString('latin1'), text);
      reader.end();
    }),
  );
});

// RFC 3501 §9
test('dates survive, zones count, impossible days do not', () => {
  assert.equal(parseDateTime(' 1-Feb-2026 01:00:00 +0130'), Date.UTC(2026, 0, 31, 23, 30));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (seconds) =>
      assert.equal(parseDateTime(formatDateTime(seconds * 1000)), seconds * 1000),
    ),
  );
  assert.throws(() => parseDateTime('30-Feb-2026 00:00:00 +0000'), syntax);
});

// RFC 9051 §6.4.5, RFC 3501 §6.4.5
test('FETCH items name their sections as the client wrote them', () => {
  const [flags, section] = parseFetchItems(new CommandReader(['(FLAGS BODY.PEEK[1.2.HEADER.FIELDS (From To)]<5.10>)']));
  assert.deepEqual(flags, { type: 'FLAGS' });
  assert.deepEqual(section, {
    type: 'SECTION',
    label: 'BODY[1.2.HEADER.FIELDS (From To)]<5>',
    section: { path: [1, 2], text: 'HEADER.FIELDS', fields: ['From', 'To'] },
    peek: true,
    partial: { offset: 5, octets: 10 },
  });
  for (const text of ['BODY[MIME]', 'BODY[0]', 'NONSENSE', '()', 'BODY.PEEK', 'BODY[]<1.0>'])
    assert.throws(() => parseFetchItems(new CommandReader([text])), syntax);
});

// RFC 9051 §6.4.4, RFC 3501 §6.4.4
test('search keys nest', () => {
  assert.deepEqual(parseSearch(new CommandReader(['NOT (UNSEEN OR LARGER 5 UID 1:*)'])), {
    type: 'and',
    keys: [
      {
        type: 'not',
        key: {
          type: 'and',
          keys: [
            { type: 'flag', flag: '\\Seen', present: false },
            {
              type: 'or',
              keys: [
                { type: 'larger', octets: 5 },
                { type: 'set', uid: true, set: [[1, '*']] },
              ],
            },
          ],
        },
      },
    ],
  });
});

test('whatever a command holds, parsing ends or says wire.syntax', () => {
  const word = fc.constantFrom('(', ')', '[', ']', ' ', '"', '\\', 'BODY', 'NOT', 'OR', 'UID', '1', '*', ':', '<', 'é');
  fc.assert(
    fc.property(fc.array(word), (words) => {
      for (const parse of [parseFetchItems, parseSearch]) {
        try {
          parse(new CommandReader([words.join('')]));
        } catch (error) {
          assert.ok(syntax(error), String(error));
        }
      }
    }),
  );
});
