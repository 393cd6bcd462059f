/** What is masked in texts, and what is not: by value as it stands, and by the shapes of tokens. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import fc from 'fast-check';
import { Secret, scrub, scrubJson } from './secret.ts';

const kept: Secret[] = [];
const secret = (value: string): string => {
  kept.push(new Secret(value));
  return value;
};

test('a secret shows itself to nobody who does not ask for it', () => {
  const held = new Secret('open sesame');
  assert.equal(`${String(held)} ${JSON.stringify({ held })} ${inspect(held)}`, '[secret] {"held":"[secret]"} [secret]');
  assert.equal(held.reveal(), 'open sesame');
});

test('live secrets are masked by value wherever they stand as a word', () => {
  const value = secret('q7Zk+99/long-value%');
  for (const [text, shown] of [
    [value, '[secret]'],
    [`it was ${value}.`, 'it was [secret].'],
    [`"${value}"`, '"[secret]"'],
    [`login:${value}`, 'login:[secret]'],
    [`a|${value}!`, 'a|[secret]!'],
    [`x=${encodeURIComponent(value)}&y`, 'x=[secret]&y'],
    [`(${value},${value})`, '([secret],[secret])'],
    [`\u00a0${value}\u2003ü`, '\u00a0[secret]\u2003ü'],
    [`${value}x`, `${value}x`],
    ['nothing of the kind here', 'nothing of the kind here'],
  ] as const)
    assert.equal(scrub(text), shown);
});

test('A52: what a stranger offers is masked nowhere until it has proved right', () => {
  const offered = Secret.offered('remoteAddress');
  assert.equal(`${String(offered)} ${inspect(offered)}`, '[secret] [secret]');
  assert.equal(scrub('the remoteAddress was'), 'the remoteAddress was');
  offered.prove();
  offered.prove();
  assert.equal(scrub('the remoteAddress was'), 'the [secret] was');
});

test('A52: names of facts, addresses and ids stay in a line of JSON, texts do not', () => {
  const [word, ip, mail] = [secret('appPasswordId'), secret('192.0.2.123'), secret('carol@fabrikam.test')];
  const line = JSON.stringify({
    [word]: 'apw_1',
    remoteAddress: ip,
    mailbox: mail,
    list: { from: mail },
    why: ip,
    msg: word,
  });
  assert.equal(
    scrubJson(line),
    `{"appPasswordId":"apw_1","remoteAddress":"192.0.2.123","mailbox":"carol@fabrikam.test","list":{"from":"carol@fabrikam.test"},"why":"[secret]","msg":"[secret]"}`,
  );
  for (const text of [`a "${ip}": b`, `"remoteAddress":"${ip}"`, `it is ${mail}`])
    assert.ok(!scrubJson(JSON.stringify({ text })).includes(text.includes(ip) ? ip : mail), text);
  const swapped = secret('hjk7qpabcdefghjkmnpqrs0123');
  assert.equal(scrubJson(JSON.stringify({ mailbox: swapped })), '{"mailbox":"[secret]"}');
});

test('what looks like a token is masked even when nobody told us', () => {
  assert.equal(scrub('Bearer abcdefgh123 was refused'), 'Bearer [secret] was refused');
  assert.equal(scrub('{"refresh_token":"abcd1234"}'), '{"refresh_token":"[secret]"}');
  assert.equal(scrub('got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl'), 'got [secret]');
  assert.equal(scrub('dXNlcj1hbGljZUBjb250b3NvLnRlc3Q='), '[secret]');
});

test('a prefix that looks like the secret does not save it, and long runs of stops take no longer than other text', () => {
  const value = secret('0123456789');
  assert.equal(scrub(`${value}x:${value}`), `${value}x:[secret]`);
  // What a stranger may send as a name; looked for with an expression it took minutes.
  for (const text of [`${':'.repeat(1_000_000)}x`, `${'.'.repeat(1_000_000)}x|`]) assert.equal(scrub(text), text);
});

/** Word by word with expressions, as it is meant. */
function plainly(text: string, values: ReadonlySet<string>): string {
  return text.replace(/[^\s"'`<>&=,;(){}[\]\\\u0001]{8,}/g, (word) => {
    if (values.has(word)) return '[secret]';
    const [, prefix = '', bare = '', stops = ''] = /^([\w-]{0,24}[:|])?(.*?)([.:!?]*)$/s.exec(word)!;
    return values.has(bare) ? `${prefix}[secret]${stops}` : word;
  });
}

test('every separator of every script, prefixes and stops: the same as word by word', () => {
  const values = new Set(['12345678', 'pass:word:9', 'trailing.', 'ünïcödé-value', 'abcdefghijkl'].map(secret));
  const forms = new Set([...values, ...[...values].map(encodeURIComponent)]);
  const piece = fc.oneof(
    fc.constantFrom(...forms),
    fc.constantFrom(
      '.',
      '!',
      ':',
      '|',
      ' ',
      '"',
      '\\',
      '\u0001',
      '\u00a0',
      '\u2028',
      '\ufeff',
      'ß',
      '😀',
      'x',
      '{',
      'user:',
    ),
    fc.string({ maxLength: 12 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('');
      // Shapes are another matter.
      fc.pre(!/eyJ|bearer|token|secret|passw|code|key/i.test(text.replaceAll('[secret]', '')));
      assert.equal(scrub(text), text.length < 8 ? text : plainly(text, forms));
    }),
    { numRuns: 2000 },
  );
});
