/** What follows a request on its connection does not speak before that has its answer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { serveInOrder } from './in-order.ts';

test('A94: what is no request ends a connection without words while an answer is due, and with a refusal otherwise', async () => {
  const server = createServer();
  const under = Promise.withResolvers<ServerResponse>();
  serveInOrder(server, (_, response) => under.resolve(response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const open = (text: string) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text)).on('error', () => undefined);
    let said = '';
    socket.setEncoding('latin1').on('data', (piece: string) => (said += piece));
    return { socket, ended: once(socket, 'close').then(() => said) };
  };
  const busy = open('POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi');
  await under.promise;
  busy.socket.write('X\r\n\r\n');
  assert.equal(await busy.ended, '');
  assert.match(await open('X\r\n\r\n').ended, /^HTTP\/1\.1 400 Bad Request\r\n/);
  assert.match(await open(`GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`).ended, /^HTTP\/1\.1 431 /);
  server.close();
  server.closeAllConnections();
});
