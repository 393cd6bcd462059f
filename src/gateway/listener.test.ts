import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { isError } from '../base/error.ts';
import { isLoopback, listen } from './listener.ts';

const drop = (socket: Socket): void => {
  socket.destroy();
};

test('a taken port is named, with what to do', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as AddressInfo;
  await assert.rejects(listen({ protocol: 'imap', tls: 'none', host: '127.0.0.1', port }, drop), (error: Error) => {
    assert.ok(isError(error, 'gateway.port-taken'));
    assert.match(error.message, new RegExp(`port ${port} for imap`));
    assert.match(error.hint, new RegExp(`ss -ltnp 'sport = :${port}'`));
    return true;
  });
  holder.close();
});

test('plain text beyond loopback is refused, and nothing listens', async () => {
  for (const host of ['0.0.0.0', '::'])
    await assert.rejects(listen({ protocol: 'smtp', tls: 'none', host, port: 0 }, drop), {
      code: 'gateway.plain-beyond-loopback',
    });
  const server = await listen({ protocol: 'smtp', tls: 'starttls', host: '0.0.0.0', port: 0 }, drop);
  server.close();
});

test('an address of another machine and a name that does not exist are explained', async () => {
  const elsewhere = { protocol: 'imap', tls: 'implicit', host: '192.0.2.1', port: 0 } as const;
  await assert.rejects(listen(elsewhere, drop), {
    code: 'gateway.cannot-listen',
    message: /does not have the address/,
  });
  await assert.rejects(listen({ ...elsewhere, host: 'no-such-host.invalid' }, drop), { code: 'gateway.cannot-listen' });
});

test('two shared listeners have one port', async () => {
  const first = await listen({ protocol: 'imap', tls: 'none', host: 'localhost', port: 0, shared: true }, drop);
  const { port } = first.address() as AddressInfo;
  const second = await listen({ protocol: 'imap', tls: 'none', host: 'localhost', port, shared: true }, drop);
  first.close();
  second.close();
});

test('loopback in every spelling', () => {
  for (const address of ['127.0.0.1', '127.8.0.1', '::1', '::ffff:127.0.0.1']) assert.ok(isLoopback(address));
  for (const address of ['0.0.0.0', '::', '10.127.0.1', '::ffff:10.0.0.1']) assert.ok(!isLoopback(address));
});
