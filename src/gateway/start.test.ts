/** The start is all or nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { before, test } from 'node:test';
import { type Certificates, certificates } from '../../test/bed/fake-provider.ts';
import { startBench } from '../../test/bed/gateway.ts';

let authority: Certificates;
before(async () => {
  authority = await certificates();
});

test('a certificate that does not load stops the start', async () => {
  await assert.rejects(
    startBench(authority, [{}], [], {
      deps: { certificate: { read: () => ({ cert: 'x', key: 'y' }), onChange: () => ({ stop() {} }) } },
    }),
    { code: 'gateway.certificate' },
  );
});

test('when one listener cannot start none stays', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as AddressInfo;
  holder.close();
  await once(holder, 'close');
  const listeners = [{ port }, { host: '0.0.0.0', tls: 'none' }] as const;
  await assert.rejects(startBench(authority, listeners, []), { code: 'gateway.plain-beyond-loopback' });
  const again = await startBench(authority, [{ port }], []);
  await again.close();
});
