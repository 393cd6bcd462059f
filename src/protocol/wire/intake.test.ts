/** Reading without stream buffers, over real TLS: who gets what when the reader changes, pauses or leaves. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { certificates } from '../../../test/bed/fake-provider.ts';
import { connect } from '../tls/connect.ts';
import { Conn } from './conn.ts';
import { intakeOf } from './intake.ts';

async function connected(t: TestContext): Promise<{ conn: Conn; peer: TLSSocket }> {
  const authority = await certificates();
  const server = createServer({ ...(await authority.issue()), allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'secureConnection');
  const conn = await connect({
    host: '127.0.0.1',
    port,
    tls: 'implicit',
    trust: { ca: authority.ca },
    timeoutMs: 5000,
    intake: true,
  });
  const [peer] = (await accepted) as [TLSSocket];
  t.after(() => {
    conn.destroy();
    peer.destroy();
    server.close();
  });
  return { conn, peer };
}

test('lines, counted octets and the end come as from any socket', async (t) => {
  const { conn, peer } = await connected(t);
  peer.end(`one\r\ntwo\r\n${'x'.repeat(300_000)}`);
  assert.equal(String(await conn.line(100)), 'one');
  assert.equal(String(await conn.line(100)), 'two');
  assert.equal((await conn.counted(300_000)).length, 300_000);
  assert.equal(await conn.line(100), undefined);
});

test('octets that were read ahead go to the next reader, and so does the rest', async (t) => {
  const { conn, peer } = await connected(t);
  peer.write('first\r\nsecond\r\n');
  assert.equal(String(await conn.line(100)), 'first');
  const { socket, rest } = conn.detach();
  assert.equal(String(rest), 'second\r\n');
  peer.write('third\r\n');
  const next = new Conn(socket);
  assert.equal(String(await next.line(100)), 'third');
});

test('what comes while nobody reads is kept for the next reader', async (t) => {
  const { conn, peer } = await connected(t);
  const { socket } = conn.detach();
  socket.resume();
  peer.write('early\r\n');
  for (const end = performance.now() + 5000; socket.bytesRead === 0 && performance.now() < end;)
    await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(String(await new Conn(socket).line(100)), 'early');
});

test('a room of the reader is where the next octets land', async (t) => {
  const { conn, peer } = await connected(t);
  const { socket } = conn.detach();
  const room = Buffer.alloc(1000);
  const seen: Buffer[] = [];
  const heard = Promise.withResolvers<void>();
  intakeOf(socket)!.open({
    room: () => (seen.length === 1 ? room : undefined),
    arrived(place, octets) {
      seen.push(place.subarray(0, octets));
      if (seen.length === 2) heard.resolve();
      else peer.write('in its room');
    },
  });
  socket.resume();
  peer.write('in the shared place');
  await heard.promise;
  assert.equal(seen[1]!.buffer, room.buffer);
  assert.equal(room.toString('latin1', 0, 11), 'in its room');
});
