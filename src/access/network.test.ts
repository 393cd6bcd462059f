/** Networks: as they are typed, as clients are seen, and what lies in what. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '../base/error.ts';
import { clientOf } from '../base/client-of.ts';
import { isWithin, readNetwork } from './network.ts';

test('a network is kept in one form; IPv4 in the clothes of IPv6 is IPv4', () => {
  assert.equal(readNetwork(' 192.168.1.0/24 '), '192.168.1.0/24');
  assert.equal(readNetwork('192.0.2.7'), '192.0.2.7/32');
  assert.equal(readNetwork('2001:db8::/32'), '2001:db8::/32');
  assert.equal(readNetwork('2001:db8::1'), '2001:db8::1/128');
  assert.equal(readNetwork('::ffff:10.0.0.0/104'), '10.0.0.0/8');
  assert.equal(readNetwork('::ffff:0.0.0.0/96'), '0.0.0.0/0');
  assert.equal(readNetwork('::fffe:0:0/95'), '::fffe:0:0/95');
  for (const wrong of ['', 'here', '10.0.0.0/33', '2001:db8::/129', '10.0.0.0/'])
    assert.throws(
      () => readNetwork(wrong),
      (error) => isError(error, 'access.network'),
      wrong,
    );
});

test('F61: what a lenient reader takes for another network is refused, with the one that was probably meant', () => {
  const wrong = ['10.1/16', '10.0.0/8', '010.0.0.1', '0x7f.1', '0x7f000001', '127.1', '2130706433', 'fe80::1%eth0'];
  for (const text of [...wrong, '10.0.0.0/08', '10.0.0.0/ 8', '10.0.0.0/8/8', '10.0.0.0/255.0.0.0', '::1/+8'])
    assert.throws(
      () => readNetwork(text),
      (error) => isError(error, 'access.network'),
      text,
    );
  for (const [text, hint] of [
    ['10.0.0.5/8', 'for all of it write 10.0.0.0/8, for this address alone 10.0.0.5'],
    ['2001:db8::1/32', 'for all of it write 2001:db8::/32, for this address alone 2001:db8::1'],
    ['::ffff:10.0.0.1/104', 'for all of it write ::ffff:a00:0/104, for this address alone ::ffff:10.0.0.1'],
  ] as const)
    assert.throws(() => readNetwork(text), { code: 'access.network', hint });
});

test('an address lies in a network of its own family; without networks everywhere, without an address nowhere', () => {
  const networks = ['10.0.0.0/8', '2001:db8::/32'];
  assert.equal(isWithin('10.255.0.1', networks), true);
  assert.equal(isWithin('::ffff:10.1.2.3', networks), true);
  assert.equal(isWithin('11.0.0.1', networks), false);
  assert.equal(isWithin('2001:db8:1::1', networks), true);
  assert.equal(isWithin('2001:db9::1', networks), false);
  assert.equal(isWithin('', networks), false);
  assert.equal(isWithin('unknown', networks), false);
  assert.equal(isWithin('', []), true);
  assert.equal(isWithin('::1', ['0.0.0.0/0']), false);
});

test('a client is an IPv4 address, or the /64 of an IPv6 one', () => {
  assert.equal(clientOf('192.0.2.1'), '192.0.2.1');
  assert.equal(clientOf('::ffff:192.0.2.1'), '192.0.2.1');
  assert.equal(clientOf('2001:db8:1:2::1'), clientOf('2001:db8:1:2:ffff::9'));
  assert.notEqual(clientOf('2001:db8:1:2::1'), clientOf('2001:db8:1:3::1'));
  assert.equal(clientOf('unknown'), 'unknown');
});
