/** What is said to a device before its first message. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryPair } from '../../test/bed/memory-socket.ts';
import { Conn } from '../protocol/wire/conn.ts';
import { greetDevice } from './device-greeting.ts';

test('a device that has gone before it is greeted ends its own connection and nothing else', async () => {
  const [near] = memoryPair();
  near.on('error', () => undefined);
  const conn = new Conn(near);
  near.destroy();
  const options = {
    hostname: 'gate.example',
    maxOctets: 1000,
    lineOctets: 1000,
    secure: () => Promise.reject(new Error('no TLS here')),
    startTls: 'offered',
    signal: new AbortController().signal,
  } as const;
  await assert.rejects(greetDevice(conn, options), { code: 'wire.closed' });
});
