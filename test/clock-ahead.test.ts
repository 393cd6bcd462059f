/**
 * Mail that a clock which ran ahead has dated: once the clock is right it is due now, however far ahead it was, tried or not,
 * whether the process went on or was started again. What a person scheduled stays scheduled.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ManualClock } from './bed/manual-clock.ts';
import { aheadOf } from '../src/outbox/deliver/passing-time.ts';
import { testDelivery, webhooksAheadOf } from '../src/outbox/webhook/dispatch.ts';
import { delivering, pass } from './bed/delivering.ts';
import { letter, openOutboxBed } from './bed/outbox.ts';
import { type Postgres, startPostgres } from './bed/postgres.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const OFFSETS = { '2 hours': 2 * HOUR, '1 day': DAY, '1 year': 365 * DAY };

for (const engine of ['sqlite', 'postgres'] as const)
  describe(`K21: a clock that was ahead, on ${engine}`, () => {
    let postgres: Postgres | undefined;
    before(async () => {
      if (engine === 'postgres') postgres = await startPostgres();
    });
    after(() => postgres?.stop());
    const bedOf = async (clock: ManualClock) =>
      openOutboxBed({ clock, ...(postgres ? { url: await postgres.freshDatabase() } : {}) });

    for (const [by, offset] of Object.entries(OFFSETS))
      for (const how of ['running', 'started again', 'another machine’s clock'] as const)
        test(`${by} ahead, ${how}: tried, never tried and older mail is due at once`, async (t) => {
          const clock = new ManualClock();
          const bed = await bedOf(clock);
          t.after(() => bed.close());
          const delivery = delivering(t, bed, clock);
          const accept = async (notBefore?: number): Promise<string> =>
            (await bed.outbox.accept(bed.request(notBefore === undefined ? {} : { notBefore }), letter())).message.id;
          const find = async (id: string) => (await bed.outbox.find(id))!;
          const older = await accept();
          await delivery.idle();
          const scheduledAt = clock.now() + 3 * HOUR + offset;
          clock.jump(offset);
          const tried = await accept();
          const scheduled = await accept(scheduledAt);
          await pass(clock, 5 * MINUTE, MINUTE, () => delivery.idle());
          assert.ok((await find(tried)).attempts > 0 && (await find(older)).attempts > 1);
          await delivery.close();
          const untried = await accept();
          const edited = await accept();
          await bed.outbox.edit(edited, 'test', { lane: 'urgent' });
          const store = bed.store.outbox;
          if (how === 'running') delivery.again();
          if (how === 'running') await delivery.idle();
          clock.jump(-offset);
          const right = clock.now();
          assert.ok((await store.ahead(aheadOf(right))) >= (how === 'running' ? 1 : 3), 'check sees it');
          delivery.state.open = true;
          if (how === 'another machine’s clock') {
            // A process that has lived by the right time all along, and begins to look before the mail comes.
            delivery.again();
            await delivery.idle();
            clock.jump(offset);
            const late = await accept();
            clock.jump(-offset);
            await pass(clock, 15 * MINUTE, MINUTE, () => delivery.idle());
            assert.equal((await find(late)).state.type, 'sent');
          }
          if (how === 'started again') delivery.again();
          await pass(clock, 10 * MINUTE, MINUTE, () => delivery.idle());
          for (const [what, id] of Object.entries({ older, tried, untried, edited }))
            assert.equal((await find(id)).state.type, 'sent', what);
          assert.deepEqual((await find(scheduled)).state, { type: 'queued', nextAt: scheduledAt });
          assert.ok((await find(scheduled)).createdAt <= clock.now());
          assert.equal(await store.ahead(aheadOf(clock.now())), 0);
        });

    test('K33: put right in two steps: mail that was never tried waits for neither', async (t) => {
      const clock = new ManualClock();
      const bed = await bedOf(clock);
      t.after(() => bed.close());
      const delivery = delivering(t, bed, clock);
      await delivery.idle();
      clock.jump(DAY);
      await delivery.close();
      const scheduledAt = clock.now() + 3 * HOUR;
      const untried = (await bed.outbox.accept(bed.request(), letter())).message.id;
      const { message } = await bed.outbox.accept(bed.request({ notBefore: scheduledAt }), letter());
      // Half the way back: both find out that the clock was ahead.
      clock.jump(-DAY / 2);
      assert.equal(await bed.store.outbox.recall(aheadOf(clock.now())), 1);
      clock.jump(-DAY / 2);
      assert.equal(await bed.store.outbox.ahead(aheadOf(clock.now())), 1, 'check sees it');
      delivery.state.open = true;
      delivery.again();
      await delivery.idle();
      assert.equal((await bed.outbox.find(untried))!.state.type, 'sent');
      assert.deepEqual((await bed.outbox.find(message.id))!.state, { type: 'queued', nextAt: scheduledAt });
    });

    test('a provider that still refuses when the clock is right: its mail goes by the ordinary steps, with its deadline', async (t) => {
      const clock = new ManualClock();
      const bed = await bedOf(clock);
      t.after(() => bed.close());
      clock.jump(365 * DAY);
      const { id } = (await bed.outbox.accept(bed.request(), letter())).message;
      clock.jump(-365 * DAY);
      const right = clock.now();
      const delivery = delivering(t, bed, clock);
      await delivery.idle();
      const found = (await bed.outbox.find(id))!;
      assert.equal(found.attempts, 1);
      assert.ok(found.state.type === 'queued' && found.state.nextAt - right < 2 * MINUTE);
      assert.equal(found.deadline - right, 2 * DAY);
      const { tries } = delivery.state;
      await pass(clock, HOUR, MINUTE, () => delivery.idle());
      assert.ok(delivery.state.tries - tries < 10, 'it is not recalled again and again');
    });

    test('webhooks, tried or not', async (t) => {
      for (const offset of Object.values(OFFSETS)) {
        const clock = new ManualClock();
        const bed = await bedOf(clock);
        t.after(() => bed.close());
        const { webhooks } = bed.store;
        const state = { type: 'enabled' } as const;
        const facts = {
          url: 'https://x.test/',
          apiKeyId: undefined,
          types: [],
          mailboxes: ['*'],
          secrets: new Uint8Array(1),
          state,
        };
        await webhooks.insert({ id: 'whk_1', ...facts, cursor: 0, createdAt: clock.now() });
        const old = testDelivery('whk_1', clock.now());
        await webhooks.add('whk_1', { ...old, orderingKey: 'old' });
        clock.jump(offset);
        await webhooks.add('whk_1', testDelivery('whk_1', clock.now()));
        const now = clock.now();
        const [first] = await webhooks.claim({ webhookId: 'whk_1', now, until: now + 1000, limit: 1 });
        await webhooks.settle(first!, { at: now, tookMs: 1 }, { type: 'again', at: now + MINUTE });
        clock.jump(-offset);
        const ahead = webhooksAheadOf(clock.now());
        assert.equal(await webhooks.ahead(ahead), 2);
        assert.equal(await webhooks.recall(ahead), 2);
        assert.equal(await webhooks.ahead(ahead), 0);
        assert.deepEqual((await webhooks.due(clock.now())).webhookIds, ['whk_1']);
      }
    });
  });
