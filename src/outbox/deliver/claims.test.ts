/** Claims: who has a message in hand, for how long, and what the next one does with it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchOf, sent } from '../../../test/bed/delivery-bench.ts';
import { letter } from '../../../test/bed/outbox.ts';
import { nullLog } from '../../base/log.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { Claims, PROLONG_MS } from './claims.ts';
import { silent } from './judge.ts';
import { storeError } from '../../store/errors.ts';

test('L17: what a process that was killed had in hand is looked into within 20 seconds', async (t) => {
  const looked: number[] = [];
  const { bed, clock, start } = await benchOf(t, sent, ['smtp'], undefined, {
    look: async () => {
      looked.push(clock.now());
      return 'found';
    },
  });
  const { message } = await bed.outbox.accept(bed.request(), letter());
  const now = clock.now();
  await bed.store.outbox.claim({ mailbox: bed.mailbox.address, now, until: now + 15_000, owner: 'dead', limit: 9 });
  const delivery = start();
  for (let step = 0; step < 40 && looked.length === 0; step++) {
    await new Promise((turn) => setImmediate(turn));
    await clock.advance(1000);
  }
  assert.ok(looked[0]! - now <= 20_000, `${looked[0]! - now} ms`);
  await delivery.idle();
  assert.equal((await bed.outbox.find(message.id))!.state.type, 'sent');
});

test('L17: whoever is stopped in the middle leaves its claims, and the next one looks at once', async (t) => {
  const looked: number[] = [];
  const { bed, clock, tried, start } = await benchOf(
    t,
    (_job, _route, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    ['smtp'],
    undefined,
    {
      look: async () => {
        looked.push(clock.now());
        return 'found';
      },
    },
  );
  await bed.outbox.accept(bed.request(), letter());
  const first = start();
  while (tried.length === 0) await new Promise((turn) => setImmediate(turn));
  await first.close();
  const stopped = clock.now();
  const second = start();
  for (let step = 0; step < 10 && looked.length === 0; step++) {
    await new Promise((turn) => setImmediate(turn));
    await clock.advance(1000);
  }
  assert.ok(looked[0]! - stopped <= 3_000, `${looked[0]! - stopped} ms`);
  await second.idle();
});

test('a process that stood still, and whose claim ran out meanwhile, does not finish what another looks after', async (t) => {
  const finished: (string | undefined)[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const { bed, clock, tried, start } = await benchOf(t, async (job) => {
    await promise;
    try {
      job.mayFinish();
      finished.push(undefined);
    } catch (error) {
      finished.push((error as { code: string }).code);
    }
    return { type: 'later', code: 'outbox.claim-lost', reply: silent('x') };
  });
  await bed.outbox.accept(bed.request(), letter());
  const delivery = start();
  while (tried.length === 0) await new Promise((turn) => setImmediate(turn));
  // Nothing of this process runs while the clock goes on.
  clock.jump(30_000);
  resolve();
  await delivery.idle();
  assert.equal(finished[0], 'outbox.claim-lost');
});

test('a long attempt stays ours, and closing waits for it', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { bed, clock, tried, start } = await benchOf(t, async (job) => {
    await promise;
    return sent(job);
  });
  const { message } = await bed.outbox.accept(bed.request(), letter());
  const delivery = start();
  while (tried.length === 0) await new Promise((turn) => setImmediate(turn));
  for (let step = 0; step < 30; step++) {
    await clock.advance(10_000);
    await new Promise((turn) => setImmediate(turn));
  }
  const second = start();
  await clock.advance(1);
  assert.equal(tried.length, 1, 'nobody else took it');
  const closing = delivery.close();
  resolve();
  await closing;
  await second.idle();
  assert.equal((await bed.outbox.find(message.id))!.state.type, 'sent');
  assert.equal(tried.length, 1);
});

test('whoever goes on prolonging its claim may finish, however long the attempt takes', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { bed, clock, tried, start } = await benchOf(t, async (job) => {
    await promise;
    job.mayFinish();
    return sent(job);
  });
  const { message } = await bed.outbox.accept(bed.request(), letter());
  const written = t.mock.method(bed.store.outbox, 'prolong');
  const delivery = start();
  while (tried.length === 0) await new Promise((turn) => setImmediate(turn));
  for (let step = 0; step < 12; step++) {
    await clock.advance(5_000);
    await new Promise((turn) => setImmediate(turn));
  }
  assert.ok(written.mock.callCount() >= 10, 'it is written down each time');
  resolve();
  await delivery.idle();
  assert.equal((await bed.outbox.find(message.id))!.state.type, 'sent');
});

test('K65: while the database takes its time no second prolongation of the same claims is begun', async () => {
  const clock = new ManualClock();
  const asked: PromiseWithResolvers<readonly string[]>[] = [];
  const outbox = {
    prolong: () => {
      const answer = Promise.withResolvers<readonly string[]>();
      asked.push(answer);
      return answer.promise;
    },
    unclaim: () => Promise.resolve(0),
  };
  const claims = new Claims({ outbox, clock, log: nullLog, owner: 'me' });
  claims.hold('msg_1', clock.now());
  for (let tick = 0; tick < 4; tick++) await clock.advance(PROLONG_MS);
  assert.equal(asked.length, 1);
  const explicit = claims.prolong();
  await clock.advance(1);
  assert.equal(asked.length, 1, 'it waits for the one before');
  asked[0]!.reject(new Error('the database was away'));
  await clock.advance(1);
  assert.equal(asked.length, 2);
  asked[1]!.resolve(['msg_1']);
  await explicit;
  assert.equal(claims.of('msg_1').lasts, true);
  await claims.close();
});

test('a claim whose answer was lost is given back for a minute after the database is back, as its commit may come late', async () => {
  const clock = new ManualClock();
  const given: (readonly number[])[] = [];
  const outbox = {
    prolong: () => Promise.resolve([]),
    unclaim: ({ untils }: { readonly untils: readonly number[] }) => Promise.resolve(given.push(untils) && 0),
  };
  const claims = new Claims({ outbox, clock, log: nullLog, owner: 'me' });
  let lost = 0;
  const away = (until: number): Promise<never> =>
    Promise.reject(storeError('store.unavailable', String((lost = until))));
  await assert.rejects(claims.take(away, clock.now()), { code: 'store.unavailable' });
  await claims.giveBackLost();
  await clock.advance(59_000);
  await claims.giveBackLost();
  await clock.advance(2_000);
  await claims.giveBackLost();
  await claims.giveBackLost();
  assert.deepEqual(given, [[lost], [lost], [lost]]);
  await claims.close();
});
