/** S13: whoever fills the console port silences neither health nor whoever comes next. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { startConsole } from './http.ts';

async function scene(t: TestContext, limits?: Parameters<typeof startConsole>[0]['limits']) {
  const held = Promise.withResolvers<void>();
  let slow = 0;
  const console = await startConsole({
    host: '127.0.0.1',
    port: 0,
    limits,
    metrics: () => Promise.resolve('some 1\n'),
    ready: () => Promise.resolve([]),
    async pages(request) {
      if (!request.url.endsWith('/slow')) return undefined;
      slow += 1;
      await held.promise;
      return new Response('done');
    },
  });
  const sockets: Socket[] = [];
  t.after(async () => {
    held.resolve();
    for (const socket of sockets) socket.destroy();
    await console.close();
  });
  const open = async (): Promise<Socket> => {
    const socket = connect(console.port, '127.0.0.1');
    socket.on('error', () => undefined);
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  };
  const ask = async (path: string): Promise<number> => {
    const socket = await open();
    socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
    let text = '';
    for await (const piece of socket) text += String(piece);
    return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);
  };
  return { open, ask, slow: () => slow };
}

test('S13: 2,000 idle connections, 2,000 with half a header: health and metrics answer within a second', async (t) => {
  const { open, ask } = await scene(t);
  for (let at = 0; at < 4000; at += 100)
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        const socket = await open();
        if (at >= 2000) socket.write('GET /healthz HTTP/1.1\r\nhost: loc');
      }),
    );
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    const started = performance.now();
    assert.equal(await ask(path), 200);
    assert.ok(performance.now() - started < 1000, `${path} took ${performance.now() - started} ms`);
  }
});

test('S13: when every place is taken by a request, the reserve answers about health and nothing else', async (t) => {
  const { open, ask, slow } = await scene(t, { connections: 3, waitingPerAddress: 3, reserve: 2 });
  for (let at = 0; at < 3; at++) {
    const socket = await open();
    socket.write('GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n');
    while (slow() <= at) await new Promise((turn) => setImmediate(turn));
  }
  assert.equal(await ask('/healthz'), 200);
  assert.equal(await ask('/readyz'), 200);
  assert.equal(await ask('/metrics'), 503);
});
