/** Responses of servers: the same however the octets are cut, whatever is in literals, and bounded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { segmentsOf } from '../../../test/bed/imap-responses.ts';
import { parseResponse, type Response } from './response.ts';
import { textOf, type Value } from './response-value.ts';
import { Fetched, headerFields, wholeMessage } from './verb/fetch.ts';

const read = (text: string): readonly Response[] => segmentsOf([Buffer.from(text, 'latin1')]).map(parseResponse);
const only = (text: string): Response => {
  const [response, ...others] = read(text);
  assert.equal(others.length, 0);
  return response!;
};

// RFC 9051 §7, §7.1, §7.6
test('status, tagged and untagged, with response codes', () => {
  assert.deepEqual(only('q1 OK [READ-ONLY] EXAMINE completed.\r\n'), {
    type: 'tagged',
    tag: 'q1',
    status: 'OK',
    code: { name: 'READ-ONLY', text: '' },
    text: '[READ-ONLY] EXAMINE completed.',
  });
  assert.deepEqual(only('* OK [UIDVALIDITY 14] ok\r\n'), {
    type: 'status',
    status: 'OK',
    code: { name: 'UIDVALIDITY', text: '14' },
    text: '[UIDVALIDITY 14] ok',
  });
  const quoted = only('* NO [REFERRAL "imap://x/a]b"] no\r\n');
  assert.deepEqual(quoted.type === 'status' && quoted.code, { name: 'REFERRAL', text: '"imap://x/a]b"' });
  assert.deepEqual(only('* BYE\r\n'), { type: 'status', status: 'BYE', code: undefined, text: '' });
  assert.deepEqual(only('+ idling\r\n'), { type: 'continuation', text: 'idling' });
  assert.deepEqual(only('+\r\n'), { type: 'continuation', text: '' });
});

// RFC 9051 §9
test('words for people that end like a literal announce none', () => {
  assert.deepEqual(
    read('* OK try again in {3}\r\nq1 NO see {12}\r\n+ send {5}\r\n* 1 EXISTS\r\n').map(({ type }) => type),
    ['status', 'tagged', 'continuation', 'message-count'],
  );
});

// RFC 9051 §7.3.1
test('names of folders as atoms, quoted strings and literals', () => {
  const names = read(
    '* LIST (\\Sent \\HasNoChildren) "/" "Sent Items"\r\n* LIST () NIL Drafts\r\n* LIST (\\Noselect) "/" {6}\r\na"b\\c]\r\n* LIST () "/" NIL\r\n' +
      '* LIST () "/" "a \\"b\\" \\\\c"\r\n',
  );
  assert.deepEqual(
    names.map((one) => (one.type === 'list' ? [one.flags, one.delimiter, one.name] : one.type)),
    [
      [['\\Sent', '\\HasNoChildren'], '/', 'Sent Items'],
      [[], undefined, 'Drafts'],
      [['\\Noselect'], '/', 'a"b\\c]'],
      [[], '/', 'NIL'],
      [[], '/', 'a "b" \\c'],
    ],
  );
});

// RFC 9051 §7.3.4
test('SEARCH and ESEARCH', () => {
  const numbers = (text: string) => {
    const one = only(text);
    return one.type === 'search' ? one.numbers : one.type;
  };
  assert.deepEqual(numbers('* SEARCH 2 84 882\r\n'), [2, 84, 882]);
  assert.deepEqual(numbers('* SEARCH\r\n'), []);
  assert.deepEqual(numbers('* SEARCH 5 (MODSEQ 917162500)\r\n'), [5]);
  assert.deepEqual(numbers('* ESEARCH (TAG "q1") UID ALL 2,10:12\r\n'), [2, 10, 11, 12]);
  assert.equal(numbers('* ESEARCH (TAG "q1") UID ALL 1:4294967295\r\n'), 'other');
});

// RFC 9051 §7.5.2
test('FETCH: sections as servers write them, nested lists, octets untouched', () => {
  const octets = 'Subject: \xc3\xa4\r\n)\r\n* 9 FETCH (UID 9)\r\nq1 OK\r\n';
  const fetched = only(
    `* 12 FETCH (UID 7 FLAGS (\\Seen $Done) INTERNALDATE "30-Nov-2026 10:00:00 +0000" RFC822.SIZE 44 ` +
      `BODY[HEADER.FIELDS ("Subject" X-A)] {${octets.length}}\r\n${octets} BODY[]<0> "x" BODYSTRUCTURE ("TEXT" "PLAIN" NIL NIL NIL "7BIT" 3 1))\r\n`,
  );
  assert.ok(fetched.type === 'fetch');
  assert.equal(fetched.number, 12);
  assert.equal(textOf(fetched.items.get('UID')), '7');
  assert.deepEqual(fetched.items.get('FLAGS'), ['\\Seen', '$Done']);
  const message = new Fetched(fetched);
  assert.equal(message.section(headerFields('SUBJECT', 'X-A'))?.toString('latin1'), octets);
  assert.equal(message.section(wholeMessage())?.toString(), 'x');
  assert.deepEqual([message.uid, message.size], [7, 44]);
  assert.equal((fetched.items.get('BODYSTRUCTURE') as readonly Value[]).length, 8);
});

test('what breaks the grammar is data of no known form; what is no response at all is refused', () => {
  for (const text of ['* 1 FETCH (BODY[ {x', '* 1 FETCH (UID 1', '* LIST x', `* 1 FETCH (X ${'('.repeat(5000)})`])
    assert.equal(only(`${text}\r\n`).type, 'other', text.slice(0, 30));
  for (const text of ['Server Unavailable. 15', '', '*', 'q1 MAYBE x', '*  OK'])
    assert.throws(() => only(`${text}\r\n`), { code: 'wire.syntax' }, text);
});

test('limits hold: lines, literals, whole responses', () => {
  const limits = { line: 100, literal: 50, response: 120 };
  const code = (text: string): string => {
    try {
      segmentsOf([Buffer.from(text)], limits);
      return 'fine';
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  assert.equal(code(`* OK ${'x'.repeat(90)}\r\n`), 'fine');
  assert.equal(code(`* OK ${'x'.repeat(200)}\r\n`), 'wire.line-too-long');
  assert.equal(code('* 1 FETCH (BODY[] {51}\r\n'), 'wire.syntax');
  assert.equal(code(`* 1 FETCH (A {50}\r\n${'x'.repeat(50)} B {50}\r\n${'x'.repeat(50)})\r\n`), 'wire.syntax');
});

test('time grows with the octets, not with their square', () => {
  const cost = (make: (size: number) => string): number => {
    const time = (size: number): number => {
      const segments = segmentsOf([Buffer.from(make(size), 'latin1')], { line: 2e6, literal: 2e6, response: 4e6 });
      let best = Infinity;
      for (let turn = 0; turn < 3; turn++) {
        const begun = performance.now();
        for (const one of segments) parseResponse(one);
        best = Math.min(best, performance.now() - begun);
      }
      return best;
    };
    return time(400_000) / Math.max(time(50_000), 3);
  };
  for (const make of [
    (size: number) => `* 1 FETCH (X ${'('.repeat(size)})\r\n`,
    (size: number) => `* 1 FETCH (X "${'\\"'.repeat(size / 2)}")\r\n`,
    (size: number) => `* 1 FETCH (BODY[${'"'.repeat(size)}\r\n`,
    (size: number) => `* 1 FETCH (X (${'a '.repeat(size / 2)}))\r\n`,
    (size: number) => `* OK [${'"\\'.repeat(size / 2)}\r\n`,
    (size: number) => `* SEARCH ${'1 '.repeat(size / 2)}\r\n`,
    (size: number) => `* 1 FETCH (X (${'{'.repeat(size)}))\r\n`,
  ])
    assert.ok(cost(make) < 40, make(4));
});
