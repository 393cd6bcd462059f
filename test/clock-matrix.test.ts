/**
 * A clock that may lie: everything that is dated, under every way in which time goes wrong. What was promised for a moment comes
 * soon after the clock is right again, nothing is given up that could not be tried, and nothing expired counts.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, type TestContext, test } from 'node:test';
import { createAppPassword } from '../src/access/app-password.ts';
import { openSignIn } from '../src/access/sign-in.ts';
import { ManualClock } from './bed/manual-clock.ts';
import { nullLog } from '../src/base/log.ts';
import { isFromTheFuture } from '../src/oauth/schedule.ts';
import { spend } from '../src/outbox/device-rule.ts';
import { reserve } from '../src/outbox/deliver/pace.ts';
import { newWebhookSecret, sealSecrets } from '../src/outbox/webhook/signature.ts';
import { startWebhooks, testDelivery } from '../src/outbox/webhook/dispatch.ts';
import { delivering, pass, turns } from './bed/delivering.ts';
import { letter, openOutboxBed, type OutboxBed } from './bed/outbox.ts';
import { type Postgres, startPostgres } from './bed/postgres.ts';
import { DAY, HOUR, type Life, live, MINUTE, SHAPES } from './bed/wrong-time.ts';

type Subject = (t: TestContext, bed: OutboxBed, clock: ManualClock) => Promise<Life>;

const SUBJECTS: Readonly<Record<string, Subject>> = {
  async lease(_t, { store }, clock) {
    let ahead = 15_000;
    return {
      async act() {
        assert.ok(await store.leases.acquire('duty', 'dead', ahead));
      },
      async restart() {
        await clock.advance(3 * DAY);
      },
      async holds(shape) {
        // PostgreSQL goes by its own clock: there the lease is made to stand as far ahead as that clock would have put it.
        if (store.engine === 'postgres') {
          ahead = shape.startsWith('a day') ? DAY : 1;
          const name = `duty ${shape}`;
          await store.leases.acquire(name, 'dead', ahead);
          await new Promise((resolve) => setTimeout(resolve, 5));
          assert.ok(await store.leases.acquire(name, 'heir', 15_000));
          assert.equal(await store.leases.acquire(name, 'third', 15_000), undefined);
          return;
        }
        const isAhead = shape.startsWith('a day');
        assert.deepEqual(await store.leases.ahead(), isAhead ? ['duty'] : [], 'told');
        assert.ok(await store.leases.acquire('duty', 'heir', 15_000), 'taken over');
        assert.equal(await store.leases.acquire('duty', 'third', 15_000), undefined);
        assert.deepEqual(await store.leases.ahead(), []);
      },
    };
  },

  async 'outbox due time'(t, bed, clock) {
    const delivery = delivering(t, bed, clock);
    const { message } = await bed.outbox.accept(bed.request(), letter());
    return {
      async act() {
        await delivery.idle();
        await pass(clock, 10 * MINUTE, MINUTE, () => delivery.idle());
        assert.ok(delivery.state.tries > 2);
      },
      async restart() {
        await delivery.close();
        await clock.advance(3 * DAY);
        delivery.again();
      },
      async holds() {
        delivery.state.open = true;
        await pass(clock, 2 * HOUR, 5 * MINUTE, () => delivery.idle());
        assert.equal((await bed.outbox.find(message.id))!.state.type, 'sent');
      },
    };
  },

  async deadline(t, bed, clock) {
    const delivery = delivering(t, bed, clock);
    const { message } = await bed.outbox.accept(bed.request({ deadline: clock.now() + 12 * HOUR }), letter());
    return {
      async act() {
        await delivery.idle();
        await pass(clock, 10 * MINUTE, MINUTE, () => delivery.idle());
      },
      async restart() {
        await delivery.close();
        await clock.advance(3 * DAY);
        delivery.again();
      },
      async holds(shape) {
        const { tries } = delivery.state;
        await pass(clock, 2 * HOUR, 5 * MINUTE, () => delivery.idle());
        const found = (await bed.outbox.find(message.id))!;
        assert.equal(found.state.type, 'queued', 'ten hours of its time are left');
        assert.ok(delivery.state.tries > tries, 'and it was tried');
        const left = found.deadline - clock.now();
        assert.ok(left > 8 * HOUR && left < 12 * HOUR + (shape.includes('back') ? 2 * DAY : 0), `${left / HOUR} hours`);
      },
    };
  },

  async 'claim of a dead process'(t, bed, clock) {
    const { message } = await bed.outbox.accept(bed.request(), letter());
    let delivery: ReturnType<typeof delivering> | undefined;
    return {
      async act() {
        const now = clock.now();
        await bed.store.outbox.claim({
          mailbox: bed.mailbox.address,
          now,
          until: now + MINUTE,
          owner: 'dead',
          limit: 1,
        });
      },
      restart: () => clock.advance(3 * DAY),
      async holds() {
        delivery = delivering(t, bed, clock);
        delivery.state.open = true;
        for (let step = 0; step < 200; step++) {
          await clock.advance(1000);
          await (bed.store.engine === 'postgres' ? new Promise((resolve) => setTimeout(resolve, 10)) : turns());
        }
        assert.equal((await bed.outbox.find(message.id))!.state.type, 'sent');
      },
    };
  },

  async 'pace of a mailbox'(_t, { store }, clock) {
    const limits = { messagesPerMinute: 2, recipientsPerDay: 10, connections: 1 };
    const ask = () => reserve(store.outbox, 'a@x.test', 1, limits, clock.now());
    return {
      async act() {
        assert.deepEqual([(await ask()).type, (await ask()).type, (await ask()).type], ['go', 'go', 'wait']);
      },
      restart: () => clock.advance(3 * DAY),
      async holds() {
        await ask();
        await clock.advance(62_000);
        assert.equal((await ask()).type, 'go', 'a minute later');
      },
    };
  },

  async 'quota of devices'(_t, { store }, clock) {
    const rule = { name: 'printers', networks: ['127.0.0.1'], mailbox: 'a@x.test', perHour: 3 };
    return {
      async act() {
        await spend({ store, clock }, rule, 3);
        await assert.rejects(spend({ store, clock }, rule, 1), { code: 'outbox.device-quota' });
      },
      restart: () => clock.advance(3 * DAY),
      async holds() {
        await clock.advance(HOUR + MINUTE);
        await spend({ store, clock }, rule, 3);
      },
    };
  },

  async 'app password expiry'(t, { store, vault, mailbox }, clock) {
    const audit = {
      record: () => Promise.resolve(),
      note: () => undefined,
      along: <T>(_: unknown, work: () => Promise<T>): Promise<T> => work(),
      ready: () => Promise.resolve(),
      flush: () => Promise.resolve(),
    };
    const signIn = await openSignIn({ store, vault, clock });
    t.after(() => signIn.close());
    const { password } = await createAppPassword(
      { store, vault, audit, clock },
      {
        label: 'x',
        mailboxes: [mailbox.address],
        protocols: ['imap'],
        networks: [],
        expiresAt: clock.now() + 2 * HOUR,
      },
    );
    const isIn = async (): Promise<boolean> => {
      const request = { protocol: 'imap' as const, remoteAddress: '127.0.0.1', user: mailbox.address, password };
      return (await signIn.verify(request)).type === 'accepted';
    };
    return {
      act: async () => void (await isIn()),
      restart: () => clock.advance(3 * DAY),
      async holds(shape) {
        assert.equal(await isIn(), shape.includes('back'), 'by the right time, and only by that');
      },
    };
  },

  'token expiry'(_t, _bed, clock) {
    let obtainedAt = 0;
    return Promise.resolve({
      act: () => Promise.resolve(void (obtainedAt = clock.now())),
      restart: () => clock.advance(3 * DAY),
      holds(shape) {
        // Its end is not known when the clock ran ahead; otherwise its own date says it.
        assert.equal(isFromTheFuture({ obtainedAt }, clock.now()), shape.includes('back'));
        return Promise.resolve();
      },
    });
  },

  async 'webhook retry'(t, { store, vault }, clock) {
    let [heard, status] = [0, 500];
    const receiver = createServer((request, response) => {
      request.resume().on('end', () => {
        heard += 1;
        response.writeHead(status).end();
      });
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => receiver.once('listening', resolve));
    const { port } = receiver.address() as AddressInfo;
    const secrets = await sealSecrets(vault, 'whk_1', [{ secret: newWebhookSecret(), expiresAt: undefined }]);
    await store.webhooks.insert({
      id: 'whk_1',
      apiKeyId: undefined,
      url: `http://127.0.0.1:${port}/hook`,
      types: [],
      mailboxes: ['*'],
      secrets,
      state: { type: 'enabled' },
      cursor: 0,
      createdAt: clock.now(),
    });
    const start = () =>
      startWebhooks({ store, vault, clock, log: nullLog, policy: { allow: ['127.0.0.0/8'] }, random: () => 0.5 });
    let running = start();
    t.after(async () => {
      await running.close();
      receiver.close();
      receiver.closeAllConnections();
    });
    const until = async (count: number): Promise<void> => {
      for (let step = 0; step < 400; step++) {
        if (heard >= count) return;
        await clock.advance(5 * MINUTE);
        for (let turn = 0; turn < 25; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      assert.ok(heard >= count, `${heard} of ${count}`);
    };
    return {
      async act() {
        await store.webhooks.enqueue('whk_1', { from: 0, to: 0 }, [testDelivery('whk_1', clock.now())]);
        await until(3);
      },
      async restart() {
        await running.close();
        await clock.advance(3 * DAY);
        running = start();
      },
      async holds() {
        const [count, begun] = [heard, clock.now()];
        status = 204;
        await until(count + 1);
        assert.ok(clock.now() - begun < 6 * HOUR, `${(clock.now() - begun) / HOUR} hours`);
      },
    };
  },

  async 'upload expiry'(_t, { store }, clock) {
    const row = (id: string) => ({
      id,
      principal: 'key_1',
      filename: 'x',
      contentType: 'text/plain',
      size: 1,
      key: new Uint8Array(1),
      chunks: 1,
      createdAt: clock.now(),
      expiresAt: clock.now() + 2 * HOUR,
    });
    return {
      async act() {
        await store.outbox.addChunks('upl_1', clock.now(), [{ number: 0, data: new Uint8Array(1) }]);
        await store.uploads.insert(row('upl_1'));
      },
      restart: () => clock.advance(3 * DAY),
      async holds(shape) {
        await store.uploads.prune(clock.now());
        assert.equal((await store.uploads.find('upl_1')) !== undefined, shape.includes('back'));
        // Never for longer than the jump.
        clock.jump(DAY + 3 * HOUR);
        await store.uploads.prune(clock.now());
        assert.equal(await store.uploads.find('upl_1'), undefined);
      },
    };
  },

  async idempotency(_t, bed, clock) {
    const accept = () =>
      bed.outbox.accept(bed.request(), letter('Idempotency-Key: order-1\nFrom: alice@contoso.test\n\nhi\n'));
    let first = '';
    return {
      act: async () => void (first = (await accept()).message.id),
      restart: () => clock.advance(3 * DAY),
      async holds(shape) {
        const { message } = await accept();
        // A day is what is promised; a clock that is wrong never makes it shorter. PostgreSQL has a clock of its own.
        assert.equal(message.id === first, shape.includes('back') || bed.store.engine === 'postgres');
      },
    };
  },
};

for (const engine of ['sqlite', 'postgres'] as const)
  describe(`L15: the clock matrix on ${engine}`, () => {
    let postgres: Postgres | undefined;
    before(async () => {
      if (engine === 'postgres') postgres = await startPostgres();
    });
    after(() => postgres?.stop());

    for (const [name, begin] of Object.entries(SUBJECTS)) {
      // What is in no database is the same on both.
      if (engine === 'postgres' && name === 'token expiry') continue;
      for (const shape of SHAPES)
        test(`${name}: ${shape}`, async (t) => {
          const clock = new ManualClock();
          const bed = await openOutboxBed({ clock, ...(postgres ? { url: await postgres.freshDatabase() } : {}) });
          t.after(() => bed.close());
          await live(clock, shape, await begin(t, bed, clock));
        });
    }
  });
