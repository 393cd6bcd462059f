/** A disk that is full: new mail is refused with 452, what was accepted is whole, and mail is taken again once there is room. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { certificates } from '../../test/bed/fake-provider.ts';
import { letter, octetsOf, openOutboxBed, type OutboxBed } from '../../test/bed/outbox.ts';
import { diskFor } from '../../test/bed/small-disk.ts';
import { Wire } from '../../test/bed/wire.ts';
import { systemClock } from '../base/clock.ts';
import { nullLog } from '../base/log.ts';
import { serverContext } from '../protocol/tls/server.ts';
import { startDeviceListener } from './device-listener.ts';
import { openOutbox } from './open.ts';

const ALICE = 'alice@contoso.test';
const MIB = 1 << 20;

/** The reply to a message of so many octets. */
async function send(wire: Wire, octets: number): Promise<string> {
  wire.send(`MAIL FROM:<${ALICE}>\r\nRCPT TO:<bob@contoso.test>\r\nDATA\r\n`);
  await wire.until(/^354 .*\r\n/m);
  wire.send(`From: ${ALICE}\r\nX-Octets: ${octets}\r\n\r\n${`${'x'.repeat(76)}\r\n`.repeat(octets / 78)}.\r\n`);
  return wire.until(/^\d{3} .*\r\n/);
}

/** Sends until the disk is full; ids of what was acknowledged. */
async function fill(bed: OutboxBed, octets: number): Promise<readonly string[]> {
  const rule = { name: 'all', networks: ['127.0.0.1'], mailbox: ALICE, perHour: 1_000_000 };
  const tls = serverContext(await (await certificates()).issue());
  const deps = { ...bed, tls, clock: systemClock, log: nullLog, hostname: 'postern.test' };
  const devices = await startDeviceListener(deps, { host: '127.0.0.1', port: 0, tls: 'none', rules: [rule] });
  const wire = await Wire.open({ host: '127.0.0.1', port: devices.port });
  await wire.until(/^220 .*\r\n/);
  const ids: string[] = [];
  try {
    for (;;) {
      const reply = await send(wire, octets);
      const id = /^250 2\.0\.0 queued as (\S+)/.exec(reply)?.[1];
      if (id === undefined) {
        assert.match(reply, /^452 4\.3\.1 the disk of the database is full/);
        return ids;
      }
      ids.push(id);
      assert.ok(ids.length < 5000, 'the disk does not become full');
    }
  } finally {
    wire.destroy();
    await devices.close();
  }
}

for (const [what, octets] of [
  ['small messages', 4000],
  ['messages of several chunks', 600_000],
] as const)
  test(`${what} and a full disk`, async (t) => {
    const disk = diskFor(t, import.meta.filename, 8 * MIB, 3 * MIB);
    if (!disk) return;
    const url = `sqlite:${join(disk.path, 'postern.db')}`;
    const bed = await openOutboxBed({ url });
    try {
      const ids = await fill(bed, octets);
      assert.ok(ids.length > 1, `${ids.length} messages were taken`);
      const whole = async (outbox: OutboxBed['outbox']): Promise<void> => {
        for (const id of ids) {
          const message = (await outbox.find(id))!;
          assert.equal((await octetsOf(outbox.body(message))).length, message.size, id);
        }
        assert.equal((await outbox.stats()).queued, ids.length);
      };
      await whole(bed.outbox);
      disk.makeRoom();
      const { message } = await bed.outbox.accept(bed.request(), letter());
      await bed.outbox.cancel(message.id, 'test');
      await whole(bed.outbox);
      await whole(openOutbox({ store: bed.store, vault: bed.vault, clock: systemClock }));
    } finally {
      await bed.close();
      disk.remove();
    }
    return undefined;
  });
