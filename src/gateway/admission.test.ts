import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Admission, type Place, plainAddress } from './admission.ts';

function open(limits: { all: number; address: number; waiting?: number }) {
  const left: string[] = [];
  const admission = new Admission({
    maxConnections: limits.all,
    maxConnectionsPerAddress: limits.address,
    maxWaitingPerAddress: limits.waiting ?? 1000,
  });
  const come = (name: string, address: string, protocol: 'imap' | 'pop3' | 'smtp' = 'imap'): Place => {
    const place = admission.admit(address, protocol, () => void left.push(name));
    if (typeof place === 'string') assert.fail(`${name}: ${place}`);
    return place;
  };
  const refused = (address: string): string => {
    const place = admission.admit(address, 'imap', () => undefined);
    return typeof place === 'string' ? place : 'admitted';
  };
  return { admission, come, refused, left };
}

test('places of those who have signed in are counted in all and per address, and given back', () => {
  const { admission, come, refused } = open({ all: 3, address: 2 });
  const first = come('a', '192.0.2.1');
  first.hold();
  come('b', '192.0.2.1').hold();
  assert.equal(refused('192.0.2.1'), 'connections-per-address');
  come('c', '192.0.2.2').hold();
  assert.equal(refused('192.0.2.3'), 'connections');
  first.release();
  first.release();
  assert.equal(admission.open, 2);
  come('d', '192.0.2.1');
});

test('S13: whoever waits longest before sign-in makes room, of the same address and protocol first', () => {
  const { admission, come, left } = open({ all: 100, address: 4, waiting: 2 });
  come('imap 1', '192.0.2.1');
  const served = come('imap 2', '192.0.2.1');
  come('imap 3', '192.0.2.1');
  assert.deepEqual(left, ['imap 1']);
  come('pop3 1', '192.0.2.1', 'pop3');
  come('smtp 1', '192.0.2.1', 'smtp');
  assert.deepEqual(left, ['imap 1']);
  served.hold();
  // The address is full: the oldest of those who wait, whatever they speak.
  come('smtp 2', '192.0.2.1', 'smtp');
  assert.deepEqual(left, ['imap 1', 'imap 3']);
  served.wait(); // its sign-in failed
  come('smtp 3', '192.0.2.1', 'smtp');
  come('elsewhere', '192.0.2.2');
  assert.deepEqual(left, ['imap 1', 'imap 3', 'smtp 1']);
  assert.equal(admission.open, 5);
});

test('S13: when all places are taken, the address with the most that wait gives one up', () => {
  const { come, left } = open({ all: 5, address: 4 });
  come('few 1', '192.0.2.1');
  for (const name of ['many 1', 'many 2', 'many 3', 'many 4']) come(name, '192.0.2.2');
  come('new', '192.0.2.3');
  assert.deepEqual(left, ['many 1']);
});

test('S13: 10,000 silent connections of one address keep nobody out who signs in', () => {
  const { admission, come } = open({ all: 10_000, address: 2500, waiting: 2000 });
  const inside: Place[] = [];
  for (let at = 0; at < 10_000; at++) {
    come(`silent ${at}`, '127.0.0.1');
    if (at % 20 > 0) continue;
    const place = come(`program ${at}`, '127.0.0.1', at % 40 === 0 ? 'imap' : 'smtp');
    place.hold();
    inside.push(place);
  }
  assert.equal(inside.length, 500);
  assert.ok(admission.open <= 2500);
});

test('a /64 of IPv6 counts as one address, however it is written', () => {
  const { come, refused } = open({ all: 9, address: 1 });
  const place = come('a', '2001:db8:0:1::1');
  place.hold();
  assert.equal(refused('2001:db8::1:ffff:0:0:2'), 'connections-per-address');
  come('b', '2001:db8:0:2::1');
  place.release();
  assert.equal(refused('2001:0db8:0:1:9::9'), 'admitted');
});

test('an IPv4 client of a dual-stack listener has its IPv4 address', () => {
  assert.equal(plainAddress('::ffff:192.0.2.7'), '192.0.2.7');
  assert.equal(plainAddress('2001:db8::7'), '2001:db8::7');
  assert.equal(plainAddress(undefined), 'unknown');
});
