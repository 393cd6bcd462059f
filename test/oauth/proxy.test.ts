import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { openHttp } from '../../src/oauth/http.ts';
import { openBed } from './fixture.ts';

test('HTTPS_PROXY is used with the application’s CA inside the tunnel, and NO_PROXY goes around it', async () => {
  const bed = await openBed();
  const tunnels: string[] = [];
  const proxy = createServer();
  proxy.on('connect', (request, client: Socket) => {
    tunnels.push(request.url ?? '');
    const upstream = connect(Number(new URL(bed.server.authority).port), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      client.pipe(upstream).pipe(client);
    });
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const names = ['HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy'] as const;
  const before = names.map((name) => [name, process.env[name]] as const);
  const ask = async (): Promise<number> => {
    const http = openHttp({ ca: bed.certificate.certPem });
    try {
      return (await http.request(bed.server.endpoints.discovery, { method: 'GET' })).status;
    } finally {
      await http.close();
    }
  };
  try {
    for (const name of names) delete process.env[name];
    process.env['https_proxy'] = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    assert.equal(await ask(), 200);
    assert.deepEqual(tunnels, [new URL(bed.server.authority).host]);
    process.env['no_proxy'] = 'localhost';
    assert.equal(await ask(), 200);
    assert.equal(tunnels.length, 1);
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    proxy.close();
    proxy.closeAllConnections();
    await bed.close();
  }
});
