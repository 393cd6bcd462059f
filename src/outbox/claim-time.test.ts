/** An Idempotency-Key counts for a day, whatever becomes of the time of day meanwhile. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openOutboxBed } from '../../test/bed/outbox.ts';
import { type Postgres, startPostgres } from '../../test/bed/postgres.ts';
import { privateFolder } from '../../test/bed/process.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { openStore } from '../store/open.ts';
import { openOutbox } from './open.ts';
import type { Outbox } from './types.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;

for (const engine of ['sqlite', 'postgres'] as const)
  describe(`K36: idempotency and a clock that is set, on ${engine}`, () => {
    let postgres: Postgres | undefined;
    let count = 0;
    const folder = privateFolder();
    before(async () => {
      if (engine === 'postgres') postgres = await startPostgres();
    });
    after(async () => {
      await postgres?.stop();
      folder.remove();
    });
    const url = async (): Promise<string> =>
      (await postgres?.freshDatabase()) ?? `sqlite:${join(folder.path, `${(count += 1)}.db`)}`;

    test('a day ahead within one process: the message is the same', async (t) => {
      const clock = new ManualClock();
      const bed = await openOutboxBed({ clock, url: await url() });
      t.after(() => bed.close());
      const accept = () =>
        bed.outbox.accept(bed.request({ idempotencyKey: 'order-1' }), [Buffer.from('Subject: a\r\n\r\nhi\r\n')]);
      const first = await accept();
      clock.jump(DAY);
      await bed.outbox.tidy();
      const again = await accept();
      assert.deepEqual([again.replayed, again.message.id], [true, first.message.id]);
      clock.jump(-3 * DAY);
      assert.equal((await accept()).replayed, true);
      if (engine === 'postgres') return;
      // A day by the machine's own time, asleep for a part of it, is a day.
      await clock.advance(20 * HOUR);
      assert.equal((await accept()).replayed, true);
      clock.jump(4 * HOUR, 'asleep');
      assert.equal((await accept()).replayed, false);
    });

    test('two processes whose clocks are a day apart: one message', async (t) => {
      const [right, ahead] = [new ManualClock(), new ManualClock()];
      const place = await url();
      const bed = await openOutboxBed({ clock: right, url: place });
      t.after(() => bed.close());
      ahead.jump(DAY);
      const store = await openStore(place, { clock: ahead });
      const other = openOutbox({ store, vault: bed.vault, clock: ahead });
      t.after(async () => {
        await other.close();
        await store.close();
      });
      const accept = (outbox: Outbox, idempotencyKey: string) =>
        outbox.accept(bed.request({ idempotencyKey }), [Buffer.from('Subject: a\r\n\r\nhi\r\n')]);
      const ids = [];
      for (const [key, outboxes] of Object.entries({
        one: [bed.outbox, other, bed.outbox],
        two: [other, bed.outbox, other],
      }))
        for (const outbox of outboxes) ids.push([key, (await accept(outbox, key)).message.id]);
      assert.equal(new Set(ids.map(([, id]) => id)).size, 2, JSON.stringify(ids));
      await other.tidy();
      assert.equal((await accept(bed.outbox, 'one')).replayed, true);
    });
  });

test('K36: a process that is started again goes on by the time of the machine, and after a new start of that by the time of day', async (t) => {
  const folder = privateFolder();
  t.after(() => folder.remove());
  const url = `sqlite:${join(folder.path, 'a.db')}`;
  const clock = new ManualClock();
  await clock.advance(10 * HOUR);
  const bed = await openOutboxBed({ clock, url });
  t.after(() => bed.close());
  const accept = async (at: ManualClock): Promise<boolean> => {
    const store = await openStore(url, { clock: at });
    const outbox = openOutbox({ store, vault: bed.vault, clock: at });
    const request = bed.request({ idempotencyKey: 'order-1' });
    const { replayed } = await outbox.accept(request, [Buffer.from('Subject: a\r\n\r\nhi\r\n')]);
    await outbox.close();
    await store.close();
    return replayed;
  };
  assert.equal(await accept(clock), false);
  clock.jump(DAY);
  assert.equal(await accept(clock), true);
  clock.jump(-DAY);
  assert.equal(await accept(clock), true);
  // The machine is started again, its time since then begins again.
  const booted = new (class extends ManualClock {
    override uptime(): number {
      return this.now() - clock.now();
    }
  })(clock.now());
  await booted.advance(23 * HOUR);
  assert.equal(await accept(booted), true);
  await booted.advance(HOUR);
  assert.equal(await accept(booted), false);
});

for (const rest of [1, 1000])
  test(`K36: a message whose first octets were swept away by a clock set ahead is not acknowledged, ${rest} lines before its end`, async (t) => {
    const clock = new ManualClock();
    const bed = await openOutboxBed({ clock });
    t.after(() => bed.close());
    const swept = Promise.withResolvers<void>();
    const slow = bed.outbox.accept(
      bed.request(),
      (async function* () {
        yield Buffer.from('Subject: a\r\n\r\n');
        for (let n = 0; n < 10; n += 1) yield Buffer.from(`${'x'.repeat(998)}\r\n`.repeat(70));
        await swept.promise;
        for (let n = 0; n < rest; n += 1) yield Buffer.from(`${'x'.repeat(998)}\r\n`);
      })(),
    );
    for (let n = 0; n < 20; n += 1) await new Promise((turn) => setImmediate(turn));
    clock.jump(DAY);
    assert.equal((await bed.outbox.tidy()).orphans, 1);
    swept.resolve();
    await assert.rejects(slow, { code: 'store.swept', kind: 'later' });
    assert.equal((await bed.outbox.stats()).queued, 0);
  });
