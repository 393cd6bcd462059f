import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAddresses } from './address.ts';
import { parseMessage, parseParameters } from './part.ts';
import { bodyStructure, envelope } from './structure.ts';

const message = (text: string): ReturnType<typeof parseMessage> =>
  parseMessage(Buffer.from(text.replaceAll('\n', '\r\n')));

// RFC 5322 §2
test('a bare message is plain text in US-ASCII', () => {
  const expected = '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 2 NIL NIL NIL NIL)';
  assert.equal(bodyStructure(message('Subject: x\n\none\ntwo\n'), true), expected);
});

// RFC 3501 §7.4.2, RFC 2046 §5.1
test('a forwarded message inside a multipart shows its own envelope and structure', () => {
  const text =
    'Content-Type: multipart/mixed; boundary="a b"\n\npreamble\n--a b\n\nhi\n--a b\nContent-Type: message/rfc822\n\nSubject: in\nFrom: a@b\n\nbody\n--a b--\nepilogue\n';
  const from = '((NIL NIL "a" "b"))';
  const inner = `(NIL "in" ${from} ${from} ${from} NIL NIL NIL NIL NIL)`;
  const plain = (octets: number): string => `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" ${octets} 0)`;
  const forwarded = `("message" "rfc822" NIL NIL NIL "7bit" 30 ${inner} ${plain(4)} 3)`;
  assert.equal(bodyStructure(message(text), false), `(${plain(2)}${forwarded} "mixed")`);
});

// RFC 3501 §7.4.2
test('an envelope takes sender and reply-to from From, unfolds, quotes', () => {
  const from = '(("Berger, \\"B\\"" NIL "bob" "c.test"))';
  const to = '((NIL NIL "team" NIL)(NIL NIL "x" "y")(NIL NIL NIL NIL))';
  const text = 'From: "Berger, \\"B\\"" <bob@c.test>\nTo: team: x@y;\nSubject: one\n two\nMessage-ID: <1@c>\n\n';
  assert.equal(envelope(message(text)), `(NIL "one two" ${from} ${from} ${from} ${to} NIL NIL NIL "<1@c>")`);
});

test('addresses keep routes, comments and nonsense harmless', () => {
  assert.deepEqual(parseAddresses('a@b (Ann), <@r:c@d>, nonsense'), [
    { type: 'mailbox', name: 'Ann', local: 'a', domain: 'b' },
    { type: 'mailbox', name: undefined, local: 'c', domain: 'd', route: '@r' },
    { type: 'mailbox', name: undefined, local: 'nonsense', domain: '' },
  ]);
});

test('any octets have a structure with balanced parentheses', () => {
  const word = fc.constantFrom(
    'Content-Type: multipart/mixed; boundary=x',
    'Content-Type: message/rfc822',
    '--x',
    '--x--',
    ':',
    '"',
    '',
  );
  fc.assert(
    fc.property(fc.array(word), (lines) => {
      const shown = bodyStructure(message(lines.join('\n')), true).replace(/"(?:\\.|[^"\\])*"/g, '');
      assert.equal(shown.split('(').length, shown.split(')').length);
    }),
  );
});

test('an open quote, comment or bracket is skipped and hides nothing', () => {
  const found = (text: string): string[] =>
    parseAddresses(text).flatMap((each) => (each.type === 'mailbox' ? [`${each.local}@${each.domain}`] : []));
  assert.deepEqual(found('"open a@b, c@d'), ['opena@b', 'c@d']);
  assert.deepEqual(found('(open a@b, <c@d>'), ['opena@b', 'c@d']);
  assert.deepEqual(found('(a (b) c) <e@f>, "x\\" y" <g@h>, <open@end'), ['e@f', 'g@h', 'open@end']);
  assert.deepEqual(found('(closed \\( here) i@j'), ['i@j']);
  const { value, parameters } = parseParameters('text/plain; a="x;y"; b="open; c=d');
  assert.deepEqual(
    [value, parameters],
    [
      'text/plain',
      [
        ['a', 'x;y'],
        ['b', '"open'],
        ['c', 'd'],
      ],
    ],
  );
});

/** Hostile texts, each a family that grows with `n`. */
const hostile: Readonly<Record<string, (n: number) => string>> = {
  'escaped quotes in a parameter': (n) => `Content-Type: text/plain; x=${'"\\'.repeat(n)}\n\n`,
  'open angles': (n) => `From: ${'<'.repeat(n)}\n\n`,
  'open comments': (n) => `From: ${'('.repeat(n)})\n\n`,
  'escaped comments': (n) => `From: ${'(\\'.repeat(n)}\n\n`,
  'escaped quotes': (n) => `From: ${'"\\'.repeat(n)}\n\n`,
  'many fields': (n) => `${'a:\n'.repeat(n)}\n`,
  'a folded field': (n) => `Subject: x\n${' y\n'.repeat(n)}\n`,
  'many parts': (n) => `Content-Type: multipart/mixed; boundary=b\n\n${'--b\n\n'.repeat(n)}`,
  'one line of delimiters': (n) => `Content-Type: multipart/mixed; boundary=b\n\n${'--b'.repeat(n)}`,
  'multiparts whose boundary never comes': (n) =>
    `Content-Type: multipart/mixed; boundary=b\n\n${Array.from({ length: 900 }, (_, part) => `--b\nContent-Type: multipart/mixed; boundary=z${part}\n\n`).join('')}${'x'.repeat(20 * n)}`,
  'the same boundary, nested': (n) =>
    `${'Content-Type: multipart/mixed; boundary=b\n\n--b\n'.repeat(40)}${'--b\n\n'.repeat(n)}`,
};

for (const [name, make] of Object.entries(hostile)) {
  test(`hostile: ${name} takes time in proportion`, () => {
    const cost = (n: number): number => {
      const octets = Buffer.from(make(n).replaceAll('\n', '\r\n'));
      const start = process.threadCpuUsage();
      const part = parseMessage(octets);
      bodyStructure(part, true);
      envelope(part);
      const { user, system } = process.threadCpuUsage(start);
      return (user + system) / 1000;
    };
    cost(20_000);
    // Sixteen times as much: linear is 16, quadratic 256. Small absolute times are noise.
    const [small, large] = [cost(20_000), cost(320_000)];
    assert.ok(large < 250 || large < 80 * small, `${small} ms became ${large} ms`);
  });
}
