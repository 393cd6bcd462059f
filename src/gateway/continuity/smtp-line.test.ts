/** What of a command may be written again to a provider. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isParameter } from '../../protocol/smtp/envelope.ts';
import { readCommandLine } from './smtp-line.ts';

const read = (line: string) => readCommandLine(Buffer.from(`${line}\r\n`), (address) => address === 'me@x.test');
const passes = (line: string): void => {
  const found = read(line);
  if (typeof found === 'string') assert.fail(`${line}: ${found}`);
  assert.equal(found.octets.toString(), `${line}\r\n`);
};

// RFC 1870, 2852, 3030, 3461, 4865, 6152, 6531, 6533, 6710, 7293, 8689
const GOOD: Readonly<Record<string, readonly (string | undefined)[]>> = {
  SIZE: ['0', '12345678901234567890'],
  BODY: ['7BIT', '8bitmime', 'BINARYMIME'],
  SMTPUTF8: [undefined],
  REQUIRETLS: [undefined],
  RET: ['FULL', 'hdrs'],
  ENVID: ['QQ314159', 'id+2B1+3D', 'x'.repeat(100)],
  BY: ['120;R', '-20;N', '+1;RT'],
  HOLDFOR: ['86400'],
  HOLDUNTIL: ['2026-12-24T18:00:00Z', '2026-12-24T18:00:00.5+01:00'],
  'MT-PRIORITY': ['3', '-4'],
  NOTIFY: ['NEVER', 'SUCCESS,FAILURE,DELAY', 'failure'],
  ORCPT: ['rfc822;bob@x.test', 'rfc822;a+2Bb@x.test', 'utf-8;b\\x{FC}@x.test', 'utf-8;bü@x.test'],
  RRVS: ['2026-04-03T23:01:00Z', '2026-04-03T23:01:00Z;C'],
};
const BAD: Readonly<Record<string, readonly (string | undefined)[]>> = {
  SIZE: [undefined, '', '-1', '1e9', '0x10', '123456789012345678901', '1=2'],
  BODY: [undefined, '', '9BIT', '8BITMIME=1'],
  SMTPUTF8: ['', 'yes'],
  REQUIRETLS: ['', 'no'],
  RET: [undefined, 'ALL', 'FULL,HDRS'],
  ENVID: [undefined, '', 'a+', 'a+0D+0A', 'a=b', 'x'.repeat(101), 'é', '+2b'],
  BY: ['120', '120;X', '1234567890;R', ';R'],
  HOLDFOR: ['-1', 'soon'],
  HOLDUNTIL: ['tomorrow', '2026-12-24'],
  'MT-PRIORITY': ['10', '-', '+1'],
  NOTIFY: [undefined, '', 'NEVER,FAILURE', 'SUCCESS,', 'ALWAYS', 'SUCCESS;FAILURE'],
  ORCPT: [
    undefined,
    '',
    'rfc822',
    ';x',
    'rfc822;',
    'rfc822;a=b',
    'rfc822;a+0D+0Ab',
    'rfc822;bü@x.test',
    `rfc822;${'x'.repeat(500)}`,
  ],
  RRVS: ['yesterday', '2026-04-03T23:01:00Z;X'],
  'X-UNKNOWN': [undefined, 'x'],
  constructor: [undefined, 'x'],
};

const line = (name: string, value: string | undefined): string =>
  `${/^(?:NOTIFY|ORCPT|RRVS)$/.test(name) ? 'RCPT TO:<b@x.test>' : 'MAIL FROM:<a@x.test>'} ${name}${value === undefined ? '' : `=${value}`}`;

test('Q9: parameters are passed on with values of their grammars, as they came', () => {
  for (const [name, values] of Object.entries(GOOD)) for (const value of values) passes(line(name, value));
});

test('Q9: a parameter whose value is none of its grammar is refused, and nothing of it goes to the provider', () => {
  for (const [name, values] of Object.entries(BAD))
    for (const value of values) {
      assert.equal(isParameter(name, value), false, `${name} ${value}`);
      const answer = read(line(name, value));
      assert.equal(
        typeof answer === 'string' && /^5\d\d 5\.5\.[24] /.test(answer),
        true,
        `${name}=${value}: ${JSON.stringify(answer)}`,
      );
    }
});

test('Q9: an address with a space in it is refused; one in quotation marks, the null sender and a bare name pass', () => {
  for (const address of ['a b@x.test', 'a@x.test ', 'a@x.test SIZE=1', '\ta@x.test'])
    assert.match(JSON.stringify(read(`RCPT TO:<${address}>`)), /^"501 5\.1\.3 /, address);
  for (const address of ['"a b"@x.test', 'postmaster', 'ü@x.test', `"a\\"b"@x.test`]) passes(`RCPT TO:<${address}>`);
  passes('MAIL FROM:<>');
});

test('Q9: the value of AUTH is ours: who may be named stays, everybody else is nobody', () => {
  passes('MAIL FROM:<a@x.test> AUTH=me@x.test');
  for (const value of ['ceo@x.test', 'a=b', '<>', ''])
    assert.equal(
      (read(`MAIL FROM:<a@x.test> AUTH=${value}`) as { octets: Buffer }).octets.toString(),
      'MAIL FROM:<a@x.test> AUTH=<>\r\n',
    );
});
