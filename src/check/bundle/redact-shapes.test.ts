/** What a support bundle leaves out by its shape, and what is broken widely. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { redactor } from './redact.ts';

describe('redaction by shape', () => {
  test('A93: addresses that are secrets, arguments of programs and texts over several lines, by their shape', () => {
    const clean = redactor([]);
    for (const [text, left] of [
      ['    url: https://hooks.slack.com/services/T0/B0/XXXXXXXX', '    url: https://hooks.slack.com/[secret]'],
      ['at https://hooks.slack.com/services/T0/B0/XXXX: 404', 'at https://hooks.slack.com/[secret] 404'],
      ['(https://discord.com/api/webhooks/1/ab-c_d)', '(https://discord.com/api/webhooks/[secret]'],
      ['{"url":"https://ntfy.sh/topic","x":1}', '{"url":"https://ntfy.sh/[secret]","x":1}'],
      [String.raw`{\"url\":\"https://ntfy.sh/topic\"}`, String.raw`{\"url\":\"https://ntfy.sh/[secret]\"}`],
      [
        'GET https://a.test/hook?x=1&key=abcdef&sig=de%20d&y=2',
        'GET https://a.test/hook?x=1&key=[secret]&sig=[secret]&y=2',
      ],
      ['run: [notify, --token=abcdef, -v]', 'run: [notify, --token=[secret], -v]'],
      ['run: [notify, --token, abcdef]', 'run: [notify, --token, [secret]]'],
      ['"run":["notify","--api-key","abcdef"]', '"run":["notify","--api-key",[secret]]'],
      ["run:\n  - notify\n  - --password\n  - 'a b'\n  - x", 'run:\n  - notify\n  - --password\n  - [secret]\n  - x'],
      [
        'a:\n  secret: |\n    one\n\n    two\n  other: |\n    x',
        'a:\n  secret: |\n    [secret]\n\n    [secret]\n  other: |\n    x',
      ],
      ['token: >- # folded\n  one\nnext: 1', 'token: >- # folded\n  [secret]\nnext: 1'],
      ['password:\n  one two\nnext: 1', 'password:\n  [secret]\nnext: 1'],
    ] as const)
      assert.equal(clean(text), left);
    for (const text of [
      'tokens:\n  minutes: 5\n  # none\n',
      'postern credential set x --secret-file /run/secrets/x',
      'publicUrl: https://mail.example.com/postern',
      'url: https://mail.example.com/',
      'secret:\n',
    ])
      assert.equal(clean(text), text);
  });

  test('A93: however far in the next part stands, and in dumps of a debugger', () => {
    const password = '75pd68kk75dbgv23v1mp7x3kw9';
    const clean = redactor([], new Map(), (word) => word === password);
    const dump = (size: number, address: (at: number) => string): string =>
      Array.from({ length: Math.ceil(password.length / 8) }, (_, row) => {
        const octets = Buffer.alloc(8);
        Buffer.from(password.slice(row * 8, row * 8 + 8)).copy(octets);
        const words = Array.from({ length: 8 / size }, (__, n) =>
          Buffer.from(octets.subarray(n * size, (n + 1) * size))
            .reverse()
            .toString('hex'),
        );
        return `${address(row * 8)}:\t${words.map((word) => `0x${word}`).join('\t')}`;
      }).join('\n');
    const [first, second] = [password.slice(0, 13), password.slice(13)];
    for (const text of [
      ...[17, 41, 120].flatMap((far) => [
        `${first}\n${' '.repeat(far)}${second}`,
        `'${first}' +\n${' '.repeat(far)}'${second}'`,
      ]),
      `${first}\n${'\t'.repeat(17)}${second}`,
      JSON.stringify({ a: { b: { c: { d: { e: password.split('') } } } } }, null, 8),
      ...[1, 2, 4, 8].flatMap((size) => [
        dump(size, (at) => `0x7fff${at.toString(16).padStart(4, '0')}`),
        dump(size, (at) => `0x7fff${at.toString(16).padStart(4, '0')} <key+${at}>`),
      ]),
    ]) {
      const said = clean(`before\n${text}\nafter`);
      assert.match(said, /^before\n[^]*\[secret\][^]*\nafter$/, text);
      assert.ok(said.replaceAll('[secret]', '').replace(/[^a-z0-9]/gi, '').length < 26 + 'beforeafter'.length, said);
    }
  });
});
