/** A82, A83: what reaches the devices' port and is no device: programs that speak HTTP, and strangers in numbers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, test, type TestContext } from 'node:test';
import { fetch } from 'undici';
import { eventually } from '../../test/bed/eventually.ts';
import { type Certificates, certificates } from '../../test/bed/fake-provider.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { openOutboxBed, type OutboxBed } from '../../test/bed/outbox.ts';
import { Wire } from '../../test/bed/wire.ts';
import type { AuditEntry } from '../audit/types.ts';
import { nullLog } from '../base/log.ts';
import { type ServerContext, serverContext } from '../protocol/tls/server.ts';
import { type DeviceListenerOptions, startDeviceListener } from './device-listener.ts';

const ALICE = 'alice@contoso.test';
const MAIL = `MAIL FROM:<${ALICE}>\r\nRCPT TO:<bob@x.test>\r\nDATA\r\nFrom: ${ALICE}\r\n\r\nhi\r\n.\r\nQUIT\r\n`;
const clock = new ManualClock();
let bed: OutboxBed;
let authority: Certificates;
let tls: ServerContext;

before(async () => {
  authority = await certificates();
  tls = serverContext(await authority.issue());
  bed = await openOutboxBed({ clock });
});
after(() => bed.close());

async function scene(t: TestContext, how: DeviceListenerOptions['tls'] = 'none') {
  const records: AuditEntry[] = [];
  let handshakes = 0;
  const devices = await startDeviceListener(
    {
      ...bed,
      clock,
      tls,
      log: nullLog,
      hostname: 'postern.test',
      audit: { note: (entry) => void records.push(entry) },
      handshakeFailed: () => void (handshakes += 1),
    },
    {
      host: '127.0.0.1',
      port: 0,
      tls: how,
      rules: [{ name: 'printers', networks: ['127.0.0.1'], mailbox: ALICE, perHour: 1000 }],
    },
  );
  const sockets: Socket[] = [];
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await devices.close();
  });
  /** Connects from an address that no rule names, says nothing, and does not close its side. */
  const stranger = async (): Promise<Socket> => {
    const at = { host: '127.0.0.1', port: devices.port, localAddress: '127.0.0.9', allowHalfOpen: true };
    const socket = connect(at);
    sockets.push(socket);
    socket.on('error', () => undefined).resume();
    await once(socket, 'connect');
    return socket;
  };
  return { port: devices.port, stranger, records, handshakes: () => handshakes };
}

test('A82: a program that speaks HTTP to the devices’ port hands in no mail, in plain text or by TLS', async (t) => {
  const plain = await scene(t);
  await assert.rejects(fetch(`http://127.0.0.1:${plain.port}/`, { method: 'POST', body: MAIL }));
  const implicit = await scene(t, 'implicit');
  const strict = await scene(t, 'starttls');
  for (const line of ['POST / HTTP/1.1', 'PRI * HTTP/2.0', 'SMUGGLE /x HTTP/1.0', 'MAIL /x HTTP/1.1'])
    for (const [port, ca] of [[plain.port], [strict.port], [implicit.port, authority.ca]] as const) {
      const wire = await Wire.open({ host: '127.0.0.1', port }, ca);
      wire.send(`${line}\r\nHost: a\r\n\r\n${MAIL}`);
      assert.match(await wire.closed(), /^220 [^\n]*\n421 4\.7\.0 this is an SMTP server, not a web server\r\n$/);
    }
  const wire = await Wire.open({ host: '127.0.0.1', port: plain.port });
  wire.send(`EHLO scanner\r\nRSET\r\nPOST / HTTP/1.1\r\n${MAIL}`);
  assert.match(await wire.closed(), /421 4\.7\.0 this is an SMTP server/);
  assert.deepEqual(await bed.outbox.list({}, { limit: 10 }), []);
});

for (const how of ['none', 'implicit'] as const)
  test(`A83: 130 silent strangers keep no place from a device (tls: ${how}), and are written down once`, async (t) => {
    const { port, stranger, records, handshakes } = await scene(t, how);
    const strangers = await Promise.all(Array.from({ length: 130 }, stranger));
    const wire = await Wire.open({ host: '127.0.0.1', port }, how === 'implicit' ? authority.ca : undefined);
    await wire.until(/^220 .*\r\n/);
    wire.send(`EHLO scanner\r\n${MAIL}`);
    assert.match(await wire.closed(), /queued as/);
    await clock.advance(2000);
    await eventually(() => strangers.every((socket) => socket.readableEnded || socket.destroyed));
    const turnedAway = records.filter(({ outcome }) => outcome === 'failed');
    assert.deepEqual(
      turnedAway.map(({ data }) => [data?.['remoteAddress'], data?.['reason'], data?.['times']]),
      [['127.0.0.9', 'no rule names it', 1]],
    );
    assert.equal(handshakes(), 0);
  });
