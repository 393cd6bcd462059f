/** Whose request it is, behind proxies. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { peerOf } from './peer.ts';

const through = (forwarded: string | undefined, proto = 'http', remote = '127.0.0.1') =>
  peerOf(
    {
      socket: { remoteAddress: remote } as IncomingMessage['socket'],
      headers: {
        ...(forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }),
        'x-forwarded-proto': proto,
      },
    },
    ['127.0.0.0/8', '10.0.0.0/24'],
  );

test('A35: the last hop that is no proxy of ours is the client, however its address is written', () => {
  for (const [said, address] of [
    ['203.0.113.5', '203.0.113.5'],
    ['203.0.113.5:41234', '203.0.113.5'],
    ['[2001:db8::5]:41234', '2001:db8::5'],
    ['[2001:db8::5]', '2001:db8::5'],
    ['"[2001:db8::5]:41234"', '2001:db8::5'],
    ['2001:db8::5', '2001:db8::5'],
    ['203.0.113.5:41234, 10.0.0.7:80', '203.0.113.5'],
  ] as const) {
    assert.deepEqual(through(said), { address, isPrivate: false }, said);
    // What the client wrote itself stands before it.
    for (const forged of ['127.0.0.1', '192.168.7.7', '192.168.7.7:1', '10.0.0.9', 'unknown'])
      assert.deepEqual(through(`${forged}, ${said}`), { address, isPrivate: false }, `${forged}, ${said}`);
  }
});

test('A35: a hop that cannot be read ends the search: nobody is taken for somebody', () => {
  for (const said of [
    'unknown',
    '_hidden',
    '203.0.113.5:x',
    '203.0.113',
    '[203.0.113.5',
    '',
    'proxy.example',
    '1.2.3.4 5',
  ])
    assert.deepEqual(through(`127.0.0.1, ${said}`), { address: 'unknown', isPrivate: false }, said);
  assert.deepEqual(through('127.0.0.1, unknown, 10.0.0.7'), { address: 'unknown', isPrivate: false });
  assert.equal(through('unknown', 'https').isPrivate, true, 'the proxy says it came by TLS');
});

test('without a word of a proxy, or from one that was not named, the connection itself counts', () => {
  assert.deepEqual(through(undefined), { address: '127.0.0.1', isPrivate: true });
  assert.deepEqual(through('127.0.0.1', 'https', '203.0.113.9'), { address: '203.0.113.9', isPrivate: false });
});
