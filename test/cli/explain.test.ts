/** `postern explain` against what is really said: the page of replies, the gateway's words, the codes of the outbox, the log's reasons. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { asciiLine } from '../../src/base/ascii-line.ts';
import { type Hearer, hearersOf, replyTo } from '../../src/base/replies.ts';
import { explain } from '../../src/check/explain.ts';
import { ERROR_TABLES } from '../../src/cli/error-tables.ts';
import { goodbye } from '../../src/gateway/goodbye.ts';
import { slowed, wrongPassword } from '../../src/gateway/verdict.ts';
import { catalogue } from '../../src/oauth/catalogue/catalogue.ts';
import { replyText } from '../../src/protocol/sign-in.ts';
import { explanationOf } from '../../src/server/api/problem.ts';

const root = resolve(import.meta.dirname, '../..');
const data = { catalogue: catalogue(), tables: ERROR_TABLES };
const textOf = (query: string): string =>
  explain(query, data)
    .map(({ title, text }) => [title, ...text].join('\n'))
    .join('\n');
const names = (query: string): readonly string[] => explain(query, data).map(({ name }) => name);
const rows = ERROR_TABLES.flatMap(({ table }) => Object.entries(table));

test('D26: who is told a code is what the page of replies says, which is provoked row by row', () => {
  const page = readFileSync(join(root, 'docs/errors-on-the-wire.md'), 'utf8');
  const listed = new Map<string, string>();
  for (const [, code, imap] of page.matchAll(/^\|[^|]*\| `([a-z.-]+)` \| ([^|]+) \|[^|]*\|[^|]*\|$/gm))
    listed.set(code!, imap!.trim());
  assert.ok(listed.size >= 10);
  for (const [code, imap] of listed) assert.ok(hearersOf(code).includes(imap === '–' ? 'pop3' : 'sign-in'), code);
  for (const [code] of rows)
    if (code.startsWith('gateway.') && hearersOf(code).length > 0)
      assert.ok(listed.has(code) || code === 'gateway.user-name', code);
});

test('D26: programs are said to be told only what is sent to them', () => {
  for (const [code, { kind }] of rows) {
    const text = textOf(code);
    const heard = (...by: readonly Hearer[]): boolean => by.some((one) => hearersOf(code).includes(one));
    assert.equal(/Mail programs are told/.test(text), heard('sign-in', 'pop3'), code);
    if (heard('hand-over', 'device'))
      assert.ok(text.includes(`told${heard('device') ? ' by SMTP' : ''}: ${replyTo({ code, kind }).smtp}.`), text);
    else assert.doesNotMatch(text, /hands mail over by SMTP is told|The device is told/, code);
  }
  for (const code of ['sasl.refused', 'tls.untrusted', 'cli.usage', 'api.key', 'server.port-taken'])
    assert.doesNotMatch(textOf(code), /Mail programs|by SMTP/, code);
  assert.match(textOf('outbox.device-quota'), /The device is told by SMTP: 452 4\.7\.1\./);
});

test('D26: who has to act and whether it passes is said once', () => {
  assert.doesNotMatch(textOf('gateway.wrong-password'), /consent/);
  assert.doesNotMatch(textOf('tls.failed'), /passes by itself/);
  assert.equal(explain('tls.failed', data).find(({ diagnosis }) => diagnosis)?.diagnosis?.blame, 'operator');
});

test('D26: our own replies are known when they are pasted', () => {
  const tagged = (error: ReturnType<typeof wrongPassword>): string => `a1 ${replyTo(error).imap} ${replyText(error)}`;
  for (const [line, name] of [
    [tagged(wrongPassword()), 'gateway.wrong-password'],
    ['NO [AUTHENTICATIONFAILED] the user name or app password is not right', 'gateway.wrong-password'],
    [tagged(slowed(0)), 'gateway.slowed'],
    ['450 4.3.0 the provider does not let alice@example.com in: x', 'gateway.provider-refused'],
    [
      '450 4.3.0 not sent; postern mailbox reconsent a@b, then send it again: the consent for a@b has ended',
      'gateway.consent-needed',
    ],
    ['530 5.7.0 sign in with AUTH first', '530 5.7.0'],
    [goodbye('imap', 'too-many-connections', 'h')!.trim(), 'gateway.too-many-connections'],
    [goodbye('smtp', 'too-slow', 'h')!.trim(), 'gateway.sign-in-too-slow'],
    [goodbye('smtp', 'shutdown', 'h')!.trim(), 'gateway.ended'],
  ] as const)
    assert.deepEqual(names(line), [name], line);
  // By the next step in it, whatever the words before.
  for (const [code, { hint, kind }] of rows.filter(
    ([name]) => hearersOf(name).includes('hand-over') && name !== 'base.bug',
  ))
    assert.ok(names(`${replyTo({ code, kind }).smtp} anything (${asciiLine(hint, 1000)})`).includes(code), code);
});

test('D26: reasons of the log, printers and old devices are explained', () => {
  const source = readFileSync(join(root, 'src/access/types.ts'), 'utf8');
  const reasons = [
    ...source.slice(0, source.indexOf('export type SignInResult')).matchAll(/^ {2}\| '([a-z-]+)'/gm),
  ].map(([, one]) => one!);
  assert.ok(reasons.length >= 7);
  for (const reason of [
    ...reasons.filter((one) => one !== 'catch-all'),
    'old-version',
    'no-common-cipher',
    'certificate-refused',
    'not-tls',
  ])
    assert.deepEqual(names(reason), [reason]);
  assert.deepEqual(names('printer'), ['devices']);
  assert.match(textOf('tls'), /TLS 1\.2 is turned away/);
});

test('D26: every code of the outbox that a person or a program meets is explained, by the command, the page and the API', () => {
  const folder = join(root, 'src');
  const used = new Set<string>();
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    if (/^(?:outbox|server\/notice)\/.*(?<!\.test)\.ts$/.test(path))
      for (const [, code] of readFileSync(join(folder, path), 'utf8').matchAll(/'(outbox\.[a-z-]+)'/g)) used.add(code!);
  assert.ok(used.has('outbox.may-have-arrived') && used.has('outbox.expired'));
  const page = readFileSync(join(root, 'docs/errors.md'), 'utf8');
  for (const code of used) {
    assert.ok(names(code).includes(code), code);
    assert.ok(page.includes(`\`${code}\``), code);
    assert.match(explanationOf(code) ?? '', /Next: /, code);
  }
});

test('a reply that nobody has written down is explained by its digits (RFC 5321 §4.2.1, RFC 3463 §3)', () => {
  const text = textOf('459 4.3.99');
  assert.match(text, /SMTP 459 4\.3\.99: .*(?:later|again|passes|now)/);
  assert.match(text, /The middle digit 3 is about /);
});
