import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Admission, plainAddress } from './admission.ts';

test('places are counted in all and per address, and given back', () => {
  const admission = new Admission({ maxConnections: 3, maxConnectionsPerAddress: 2 });
  assert.equal(admission.admit('192.0.2.1'), 'admitted');
  assert.equal(admission.admit('192.0.2.1'), 'admitted');
  assert.equal(admission.admit('192.0.2.1'), 'connections-per-address');
  assert.equal(admission.admit('192.0.2.2'), 'admitted');
  assert.equal(admission.admit('192.0.2.3'), 'connections');
  admission.release('192.0.2.1');
  assert.equal(admission.open, 2);
  assert.equal(admission.admit('192.0.2.1'), 'admitted');
});

test('a /64 of IPv6 counts as one address, however it is written', () => {
  const admission = new Admission({ maxConnections: 9, maxConnectionsPerAddress: 1 });
  assert.equal(admission.admit('2001:db8:0:1::1'), 'admitted');
  assert.equal(admission.admit('2001:db8::1:ffff:0:0:2'), 'connections-per-address');
  assert.equal(admission.admit('2001:db8:0:2::1'), 'admitted');
  admission.release('2001:0db8:0:1:9::9');
  assert.equal(admission.admit('2001:db8:0:1::1'), 'admitted');
});

test('an IPv4 client of a dual-stack listener has its IPv4 address', () => {
  assert.equal(plainAddress('::ffff:192.0.2.7'), '192.0.2.7');
  assert.equal(plainAddress('2001:db8::7'), '2001:db8::7');
  assert.equal(plainAddress(undefined), 'unknown');
});
