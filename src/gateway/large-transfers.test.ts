/** Transfers larger than what may be kept. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { test } from 'node:test';
import { ADDRESS, PASSWORD } from '../../test/bed/fake-access.ts';
import { certificates, fakeProvider } from '../../test/bed/fake-provider.ts';
import { startBench } from '../../test/bed/gateway.ts';

const LOGIN = `a LOGIN ${ADDRESS} ${PASSWORD}`;

test('large transfers pass both ways in constant memory while one side is slow', async (t) => {
  const authority = await certificates();
  const provider = await fakeProvider('imap', authority);
  const bench = await startBench(authority, [{ tls: 'implicit' }], [provider]);
  t.after(() => Promise.all([bench.close(), provider.close()]));
  const size = 64 * 1024 * 1024;
  const { port } = bench.gateway.addresses[0]!;
  const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca: authority.ca });
  await once(socket, 'secureConnect');
  socket.write(`${LOGIN}\r\ng GET ${size}\r\n`);
  await once(socket, 'readable');
  const before = process.memoryUsage();
  // Nobody reads: the provider must come to a stop instead of filling memory.
  for (let quiet = 0, seen = -1; quiet < 50;) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    const now = process.memoryUsage().arrayBuffers;
    quiet = now === seen ? quiet + 1 : 0;
    seen = now;
  }
  const grown = process.memoryUsage().arrayBuffers - before.arrayBuffers;
  assert.ok(grown < 16 * 1024 * 1024, `${grown} octets buffered`);
  let got = 0;
  for await (const bytes of socket) {
    got += (bytes as Buffer).length;
    if (got > size) break;
  }
  const up = await bench.client();
  await up.line();
  assert.match(await up.ask(LOGIN, /^a /), /^a OK/);
  await up.conn.write(`p PUT {${size}+}\r\n`);
  const piece = Buffer.alloc(1 << 20, 'y');
  for (let left = size; left > 0; left -= piece.length) await up.conn.write(piece);
  await up.conn.write('\r\n');
  assert.equal(await up.line(), `p OK did PUT {${size}+}`);
  assert.equal(provider.taken, size);
});
