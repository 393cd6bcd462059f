/** The database goes away in a process that lives on: what it knows is written down afterwards, and nothing is guessed. */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { type DatabaseProxy, startDatabaseProxy } from '../../../test/bed/database-proxy.ts';
import { sent } from '../../../test/bed/delivery-bench.ts';
import { eventually } from '../../../test/bed/eventually.ts';
import { without } from '../../../test/bed/need.ts';
import { letter, MARKS, openOutboxBed } from '../../../test/bed/outbox.ts';
import { type Postgres, startPostgres } from '../../../test/bed/postgres.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { nullLog } from '../../base/log.ts';
import { type Delivery, startDelivery } from './delivery.ts';
import type { Outcome, Route, SendJob } from './types.ts';

const none = without('postgresql');

describe('a database that goes away', { skip: none, timeout: 120_000 }, () => {
  let postgres: Postgres;
  before(async () => {
    if (none === false) postgres = await startPostgres();
  });
  after(async () => {
    await postgres?.stop();
  });

  const openBed = async (t: TestContext, answer: (job: SendJob) => Promise<Outcome>, through?: DatabaseProxy) => {
    const clock = new ManualClock();
    const bed = await openOutboxBed({ clock, url: through?.url ?? (await postgres.freshDatabase()) });
    const tried: string[] = [];
    const deliveries: Delivery[] = [];
    const route: Route = {
      name: 'smtp',
      leavesNoCopy: true,
      async send(job) {
        tried.push(job.message.id);
        return answer(job);
      },
      close: () => Promise.resolve(),
    };
    const start = (owner: string): Delivery => {
      const delivery = startDelivery({
        store: bed.store,
        outbox: bed.outbox,
        clock,
        log: nullLog,
        owner,
        marks: MARKS,
        limits: () => Promise.resolve({ messagesPerMinute: undefined, recipientsPerDay: undefined, connections: 1 }),
        routes: () => Promise.resolve([route]),
      });
      deliveries.push(delivery);
      return delivery;
    };
    t.after(async () => {
      let isClosed = false;
      const closing = Promise.all(deliveries.map((delivery) => delivery.close())).finally(() => (isClosed = true));
      await eventually(async () => (await clock.advance(100), isClosed), 'delivery has ended');
      await closing;
      await bed.close();
      await through?.close();
    });
    const accept = async (count: number): Promise<readonly string[]> => {
      const ids: string[] = [];
      for (let at = 0; at < count; at++) ids.push((await bed.outbox.accept(bed.request(), letter())).message.id);
      return ids;
    };
    const story = async (id: string) => (await bed.outbox.events({ messageId: id, limit: 50 })).map(({ type }) => type);
    /** Time passes until all of them have left. */
    const untilSent = async (ids: readonly string[], stepMs: number): Promise<void> => {
      const isSent = async (id: string): Promise<boolean> => {
        await clock.advance(stepMs);
        return (await bed.outbox.find(id).catch(() => undefined))?.state.type === 'sent';
      };
      for (const id of ids) await eventually(() => isSent(id), `${id} is sent`, 30_000);
    };
    return { bed, clock, tried, start, accept, story, untilSent };
  };

  for (const away of [5_000, 60_000])
    test(`K31: the provider's yes is written down after ${away / 1000} s without a database; one copy, no doubt`, async (t) => {
      const yes = Promise.withResolvers<void>();
      const { bed, clock, tried, start, accept, story, untilSent } = await openBed(t, async (job) => {
        await yes.promise;
        return sent(job);
      });
      const [id] = await accept(1);
      start('one');
      await eventually(() => tried.length === 1, 'the attempt is under way');
      await postgres.kill();
      yes.resolve();
      for (let passed = 0; passed < away; passed += 500) await clock.advance(500);
      await postgres.start();
      // Another process finds the claim, which has run out, before the first one can write.
      if (away > 15_000) start('two');
      await untilSent([id!], 100);
      assert.deepEqual(tried, [id]);
      const types = await story(id!);
      assert.equal(types.filter((type) => type === 'sent').length, 1);
      const message = (await bed.outbox.find(id!))!;
      assert.equal(message.attempts, 1);
      assert.deepEqual(
        message.recipients.map(({ state, mayHaveArrived }) => ({ state, mayHaveArrived })),
        [{ state: 'delivered', mayHaveArrived: undefined }],
      );
    });

  test('K31: mail behind it leaves once, in order, when the database is back', async (t) => {
    const gone = Promise.withResolvers<void>();
    const { clock, tried, start, accept, untilSent } = await openBed(t, async (job) => {
      if (tried.length === 3) await postgres.kill().then(gone.resolve);
      return sent(job);
    });
    const ids = await accept(20);
    start('one');
    await gone.promise;
    for (let passed = 0; passed < 30_000; passed += 1000) await clock.advance(1000);
    await postgres.start();
    await untilSent(ids, 100);
    assert.deepEqual(tried, ids);
  });

  test('K32: a claim whose commit was not answered is given back at once, and no attempt is told of', async (t) => {
    const proxy = await startDatabaseProxy(await postgres.freshDatabase());
    const { bed, clock, tried, start, accept, story, untilSent } = await openBed(t, async (job) => sent(job), proxy);
    const ids = await accept(30);
    proxy.loseAnswers('"attempts" = "attempts" +', 1);
    const began = clock.now();
    start('one');
    await eventually(() => proxy.lost === 1, 'an answer was lost');
    await untilSent(ids, 50);
    assert.ok(clock.now() - began < 15_000, `${clock.now() - began} ms: before the claim has run out`);
    assert.deepEqual(tried, ids);
    for (const id of ids) {
      assert.deepEqual(await story(id), ['accepted', 'attempted', 'sent']);
      const { attempts, recipients } = (await bed.outbox.find(id))!;
      assert.deepEqual([attempts, recipients[0]!.mayHaveArrived], [1, undefined]);
    }
  });

  test('K32: an outcome whose commit was not answered is not written twice, and not taken for lost', async (t) => {
    const proxy = await startDatabaseProxy(await postgres.freshDatabase());
    const { tried, start, accept, story, untilSent } = await openBed(t, async (job) => sent(job), proxy);
    const [id] = await accept(1);
    proxy.loseAnswers('UPDATE outbox_messages SET', 1);
    start('one');
    await eventually(() => proxy.lost === 1, 'an answer was lost');
    await untilSent([id!], 50);
    assert.deepEqual(tried, [id]);
    assert.deepEqual(await story(id!), ['accepted', 'attempted', 'sent']);
  });
});
