/** What is accepted as a list of addresses reads the same to others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressParser } from 'postal-mime';
import { readableTexts } from '../../../test/bed/address-texts.ts';
import { readAddressList } from './address-list.ts';

const addressesIn = (text: string): readonly string[] =>
  addressParser(text, { flatten: true })
    .flatMap(({ address }) => (address?.includes('@') === true ? [address] : []))
    .toSorted();

// RFC 5322 §3.4
test('A22: what is accepted as a list of addresses names the same to PostalMime', () => {
  const texts = readableTexts(22, 150_000);
  assert.ok(texts.size > 500, `${texts.size} texts`);
  for (const [text, named] of texts) assert.deepEqual(addressesIn(text), named, JSON.stringify(text));
});

// RFC 5322 §4.4
test('A22: what readers understand in different ways is refused', () => {
  for (const text of [
    '(\\) <sales@contoso.test>,) alice@contoso.test',
    '(sales@x.test);alice@x.test',
    'alice@x.test,(sales@x.test)',
    ';<alice@x.test>',
    'alice@x.test; sales@x.test',
    'alice@x.test;',
    '(sales@x.test) alice@x.test',
    'alice@x.test (a (b)',
    'alice(a)@x.test',
    '<alice@x.test(a)>',
    'alice @ x.test',
    '"sales"@x.test',
    '"sales@x.test"',
    '<"x<sales@x.test>"@y.test>',
    'a: alice@x.test; sales@x.test',
    'a: alice@x.test;: sales@x.test;',
    '<sales@x.test>: alice@x.test;',
    'sales@x.test: alice@x.test;',
    '[sales@x.test,]<alice@x.test>',
    '=?utf-8?q?sales=40x=2Etest?=',
    '=?utf-8?q?sales=40x=2Etest?=?[]=?<alice@x.test>',
    'name alice@x.test <alice@x.test>',
    'alice@x.test\u0001',
    'alice@x.test,\u0085<>',
  ])
    assert.notEqual(readAddressList(text).problem, undefined, text);
  for (const [text, address] of [
    ['root (Cron Daemon, at night)', 'root'],
    ['"Doe, J." <j@x.test> (at home)', 'j@x.test'],
    ['[alarm] Hall <hall@x.test>', 'hall@x.test'],
    ['=?utf-8?b?QWxpY2UgPHNhbGVzPg==?= <alice@x.test>', 'alice@x.test'],
    ['"sales@x.test" <alice@x.test>', 'alice@x.test'],
    ['<"a b"@x.test>', '"a b"@x.test'],
    ['a@[127.0.0.1]', 'a@[127.0.0.1]'],
    ['undisclosed-recipients:;', undefined],
    ['friends: a@x.test, <b@x.test>;, c@x.test', 'a@x.test'],
  ] as const) {
    const { addresses, problem } = readAddressList(text);
    assert.equal(problem, undefined, text);
    assert.equal(addresses[0]?.address, address);
  }
});
