/** Delivery on a clock that is moved by hand: pacing, order, retries, fallback, ambiguity, crashes, reports. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { letter, MARKS, octetsOf, openOutboxBed } from '../../../test/bed/outbox.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { nullLog } from '../../base/log.ts';
import type { SendingLimits } from '../../oauth/preset.ts';
import type { OutboxMessage } from '../../store/types-outbox.ts';
import { type Delivery, type DeliveryDeps, startDelivery } from './delivery.ts';
import { silent } from './judge.ts';
import type { Outcome, RecipientOutcome, Route, SendJob } from './types.ts';

const UNLIMITED: SendingLimits = { messagesPerMinute: undefined, recipientsPerDay: undefined, connections: 2 };
const EXCHANGE: SendingLimits = { messagesPerMinute: 30, recipientsPerDay: 10_000, connections: 3 };

const sent = ({ recipients }: SendJob): Outcome => ({
  type: 'sent',
  reply: { code: 250, enhanced: '2.0.0', text: '250 2.0.0 OK' },
  recipients: recipients.map(({ address }) => ({ address, outcome: 'delivered', reply: '250 2.0.0 OK' })),
});
const reply = (text: string) => ({ code: Number(text.slice(0, 3)), enhanced: undefined, text });

async function bench(
  t: TestContext,
  answer: (job: SendJob, route: string, signal: AbortSignal) => Outcome | Promise<Outcome> = sent,
  options: Partial<DeliveryDeps> & { readonly routes?: never; readonly names?: readonly string[] } = {},
) {
  const clock = new ManualClock();
  const bed = await openOutboxBed({ clock });
  const log: { at: number; id: string; route: string }[] = [];
  const make = (name: string): Route => ({
    name,
    async send(job, signal) {
      log.push({ at: clock.now(), id: job.message.id, route: name });
      return answer(job, name, signal);
    },
    close: () => Promise.resolve(),
  });
  const routes = (options.names ?? ['smtp']).map(make);
  const deliveries: Delivery[] = [];
  const { names: _, ...rest } = options;
  const start = (owner = 'me'): Delivery => {
    const delivery = startDelivery({
      store: bed.store,
      outbox: bed.outbox,
      clock,
      log: nullLog,
      owner,
      marks: MARKS,
      limits: () => Promise.resolve(UNLIMITED),
      ...rest,
      routes: () => Promise.resolve(routes),
    });
    deliveries.push(delivery);
    return delivery;
  };
  t.after(async () => {
    await Promise.all(deliveries.map((delivery) => delivery.close()));
    await bed.close();
  });
  return { bed, clock, log, start };
}

/** Moves the clock in small steps, so that whatever sleeps in between is woken in order. */
async function pass(clock: ManualClock, delivery: Delivery, ms: number, step = 1000): Promise<void> {
  for (let done = 0; done < ms; done += step) {
    await delivery.idle();
    await clock.advance(Math.min(step, ms - done));
  }
  await delivery.idle();
}

test('what is accepted is sent whole, and its story says so', async (t) => {
  let octets = '';
  const { bed, start } = await bench(t, async (job) => {
    octets = (await octetsOf(job.body())).toString();
    return sent(job);
  });
  const { message } = await bed.outbox.accept(bed.request(), letter('Message-ID: <1@x>\nDate: x\n\nhi\n'));
  await start().idle();
  const found = (await bed.outbox.find(message.id))!;
  assert.equal(found.state.type, 'sent');
  assert.deepEqual(found.recipients, [{ address: 'bob@contoso.test', state: 'delivered', reply: '250 2.0.0 OK' }]);
  assert.equal(octets, 'Message-ID: <1@x>\r\nDate: x\r\nFrom: alice@contoso.test\r\n\r\nhi\r\n');
  const story = await bed.outbox.events({ messageId: message.id, limit: 10 });
  assert.deepEqual(
    story.map(({ type }) => type),
    ['accepted', 'attempted', 'sent'],
  );
  assert.equal(story[1]!.data['status'], 250);
});

test('500 messages at once to a mailbox with 30 a minute leave in order at the limit; another mailbox is not delayed', async (t) => {
  const { bed, clock, log, start } = await bench(t, sent, { limits: () => Promise.resolve(EXCHANGE) });
  const ids: string[] = [];
  for (let count = 0; count < 500; count++) ids.push((await bed.outbox.accept(bed.request(), letter())).message.id);
  const other = await bed.addMailbox('bob@contoso.test');
  const envelope = { from: other.address, recipients: [{ address: 'x@y.test' }] };
  const delivery = start();
  const begun = clock.now();
  await delivery.idle();
  const { message } = await bed.outbox.accept(bed.request({ mailbox: other, envelope }), letter());
  await delivery.idle();
  assert.equal((await bed.outbox.find(message.id))!.state.type, 'sent', 'the other mailbox does not wait');
  await pass(clock, delivery, 18 * 60_000);
  const mine = log.filter(({ id }) => id !== message.id);
  assert.deepEqual(
    mine.map(({ id }) => id),
    ids,
    'every one once, in the order of acceptance',
  );
  for (let at = 30; at < mine.length; at++)
    assert.ok(mine[at]!.at - mine[at - 30]!.at >= 60_000, 'no minute has more than 30');
  const took = mine.at(-1)!.at - begun;
  assert.ok(took <= 17 * 62_000, `at the limit, not below it: ${took / 1000} s`);
});

test('a mailbox with a flood takes no place from others for long', async (t) => {
  const { bed, log, start } = await bench(t, sent, { atOnce: 2 });
  const small = await bed.addMailbox('zoe@contoso.test');
  for (let count = 0; count < 400; count++) await bed.outbox.accept(bed.request(), letter());
  const envelope = { from: small.address, recipients: [{ address: 'x@y.test' }] };
  const { message } = await bed.outbox.accept(bed.request({ mailbox: small, envelope }), letter());
  await start().idle();
  assert.equal(log.length, 401);
  const place = log.findIndex(({ id }) => id === message.id);
  assert.ok(place < 250, `it was number ${place}`);
});

test('two processes keep the limit together, and nothing leaves twice', async (t) => {
  const { bed, clock, log, start } = await bench(t, sent, { limits: () => Promise.resolve(EXCHANGE) });
  for (let count = 0; count < 90; count++) await bed.outbox.accept(bed.request(), letter());
  const [one, two] = [start('one'), start('two')];
  for (let step = 0; step < 260; step++) {
    await Promise.all([one.idle(), two.idle()]);
    await clock.advance(1000);
  }
  assert.equal(new Set(log.map(({ id }) => id)).size, 90);
  assert.equal(log.length, 90);
  for (let at = 30; at < log.length; at++) assert.ok(log[at]!.at - log[at - 30]!.at >= 60_000);
});

test('urgent mail goes first, scheduled mail at its time, held mail not at all', async (t) => {
  const { bed, clock, log, start } = await bench(t, sent, {
    limits: () => Promise.resolve({ ...UNLIMITED, messagesPerMinute: 100, connections: 1 }),
  });
  const ids: string[] = [];
  for (const change of [{}, { lane: 'urgent' as const }, { notBefore: clock.now() + 60_000 }, {}])
    ids.push((await bed.outbox.accept(bed.request(change), letter())).message.id);
  await bed.outbox.hold(ids[3]!, 'me', 'wait');
  const delivery = start();
  await delivery.idle();
  assert.deepEqual(
    log.map(({ id }) => id),
    [ids[1], ids[0]],
  );
  await pass(clock, delivery, 61_000);
  assert.equal(log.at(-1)!.id, ids[2]);
  await bed.outbox.holdMailbox('alice@contoso.test', 'me', 'holiday');
  await bed.outbox.retry(ids[3]!, 'me');
  await pass(clock, delivery, 60_000);
  assert.equal(log.length, 3);
  await bed.outbox.releaseMailbox('alice@contoso.test');
  await pass(clock, delivery, 60_000);
  assert.equal(log.at(-1)!.id, ids[3]);
});

test('an outage of thirty minutes: tried again and again, then sent, nothing lost', async (t) => {
  let up = false;
  const { bed, clock, log, start } = await bench(t, (job) =>
    up ? sent(job) : { type: 'later', code: 'gateway.provider-unreachable', reply: silent('nothing listens there') },
  );
  for (let count = 0; count < 5; count++) await bed.outbox.accept(bed.request(), letter());
  const delivery = start();
  await pass(clock, delivery, 30 * 60_000, 10_000);
  assert.equal((await bed.outbox.stats()).queued, 5);
  const tries = log.length;
  assert.ok(tries >= 5 * 5 && tries <= 5 * 10, `${tries} tries`);
  up = true;
  await pass(clock, delivery, 20 * 60_000, 10_000);
  assert.deepEqual(await bed.outbox.stats(), { queued: 0, sending: 0, held: 0, oldestDueAt: undefined });
});

test('throttling pauses the whole mailbox for as long as the provider asks', async (t) => {
  let asked = false;
  const { bed, clock, log, start } = await bench(t, (job) => {
    if (asked) return sent(job);
    asked = true;
    return { type: 'later', code: 'outbox.deferred', reply: reply('451 4.3.2 slow'), retryAfterMs: 120_000 };
  });
  for (let count = 0; count < 3; count++) await bed.outbox.accept(bed.request(), letter());
  const delivery = start();
  await pass(clock, delivery, 119_000);
  assert.equal(log.length, 1);
  await pass(clock, delivery, 60_000);
  assert.equal(log.length, 4);
});

test('SMTP AUTH switched off: the next route takes it, and the story says why', async (t) => {
  const { bed, log, start } = await bench(
    t,
    (job, route) =>
      route === 'graph'
        ? sent(job)
        : {
            type: 'closed',
            code: 'outbox.route-closed',
            reply: reply('535 5.7.139 SmtpClientAuthentication is disabled'),
          },
    { names: ['smtp', 'graph'] },
  );
  const { message } = await bed.outbox.accept(bed.request(), letter());
  await start().idle();
  assert.deepEqual(
    log.map(({ route }) => route),
    ['smtp', 'graph'],
  );
  const story = await bed.outbox.events({ messageId: message.id, limit: 10 });
  assert.deepEqual(
    story.map(({ type, data }) => [type, data['route'], data['next']]),
    [
      ['accepted', undefined, undefined],
      ['attempted', 'smtp', 'graph'],
      ['attempted', 'graph', undefined],
      ['sent', undefined, undefined],
    ],
  );
});

test('a revoked grant holds everything of the mailbox back without hammering, and lets it go afterwards', async (t) => {
  let good = false;
  const { bed, clock, log, start } = await bench(t, (job) =>
    good ? sent(job) : { type: 'blocked', code: 'oauth.needs-consent', reply: silent('the consent has ended') },
  );
  for (let count = 0; count < 20; count++) await bed.outbox.accept(bed.request(), letter());
  const delivery = start();
  await pass(clock, delivery, 10 * 60_000, 5000);
  assert.ok(log.length <= 24, `${log.length} tries in ten minutes`);
  good = true;
  await pass(clock, delivery, 90 * 60_000, 20_000);
  assert.equal((await bed.outbox.stats()).queued, 0);
});

test('some recipients are refused, some put off: each is told apart, and the refused are reported once', async (t) => {
  const reports: OutboxMessage[] = [];
  let round = 0;
  const { bed, clock, log, start } = await bench(
    t,
    ({ recipients }) => {
      round += 1;
      return {
        type: 'sent',
        reply: reply('250 OK'),
        recipients: recipients.map(({ address }) => ({
          address,
          outcome: address.startsWith('no')
            ? 'refused'
            : address.startsWith('late') && round === 1
              ? 'later'
              : 'delivered',
          reply: address.startsWith('no') ? '550 5.1.1 unknown' : '250 OK',
        })),
      };
    },
    { report: async (message, kind) => void (kind === 'failed' && reports.push(message)) },
  );
  const recipients = ['yes@x.test', 'no@x.test', 'late@x.test'].map((address) => ({ address }));
  const { message } = await bed.outbox.accept(
    bed.request({ envelope: { from: bed.mailbox.address, recipients } }),
    letter(),
  );
  const delivery = start();
  await delivery.idle();
  assert.equal((await bed.outbox.find(message.id))!.state.type, 'queued');
  await pass(clock, delivery, 60_000);
  const found = (await bed.outbox.find(message.id))!;
  assert.deepEqual(
    found.recipients.map(({ state }) => state),
    ['delivered', 'refused', 'delivered'],
  );
  assert.equal(found.state.type, 'sent');
  assert.deepEqual([reports.length, log.length], [1, 2]);
});

test('a retry is for those who wait: whoever has the message or was refused is not named again', async (t) => {
  const named: string[][] = [];
  const { bed, clock, start } = await bench(t, ({ recipients }) => {
    named.push(recipients.map(({ address }) => address));
    const outcomeOf = (address: string): RecipientOutcome['outcome'] =>
      address === 'no@x.test' ? 'refused' : address === 'late@x.test' && named.length < 3 ? 'later' : 'delivered';
    const each = recipients.map(({ address }) => ({ address, outcome: outcomeOf(address), reply: 'x' }));
    return { type: 'sent', reply: reply('250 OK'), recipients: each };
  });
  const recipients = ['yes@x.test', 'no@x.test', 'late@x.test'].map((address) => ({ address }));
  await bed.outbox.accept(bed.request({ envelope: { from: bed.mailbox.address, recipients } }), letter());
  const delivery = start();
  await pass(clock, delivery, 180_000, 10_000);
  assert.deepEqual(named, [['yes@x.test', 'no@x.test', 'late@x.test'], ['late@x.test'], ['late@x.test']]);
});

test('a day’s recipients are counted, each of a message, and what is too much waits for the next day', async (t) => {
  const { bed, clock, log, start } = await bench(t, sent, {
    limits: () => Promise.resolve({ messagesPerMinute: undefined, recipientsPerDay: 7, connections: 1 }),
  });
  const recipients = ['a@x.test', 'b@x.test', 'c@x.test'].map((address) => ({ address }));
  for (let n = 0; n < 4; n++)
    await bed.outbox.accept(bed.request({ envelope: { from: bed.mailbox.address, recipients } }), letter());
  const delivery = start();
  await pass(clock, delivery, 24 * 3_600_000, 3_600_000);
  assert.equal(log.length, 2);
  await pass(clock, delivery, 2 * 3_600_000, 600_000);
  assert.equal(log.length, 4);
});

test('refused for good fails at once, what cannot be sent in time fails at its deadline; both are reported', async (t) => {
  const reports: string[] = [];
  const { bed, clock, start } = await bench(
    t,
    ({ message, recipients }) =>
      message.principal === 'bad'
        ? {
            type: 'refused',
            code: 'outbox.refused',
            reply: reply('554 5.2.252 SendAsDenied'),
            recipients: recipients.map(({ address }) => ({ address, outcome: 'refused', reply: '554' })),
          }
        : { type: 'later', code: 'outbox.deferred', reply: reply('451 4.7.1 later') },
    { report: async ({ state }) => void reports.push(state.type === 'failed' ? state.code : '') },
  );
  await bed.outbox.accept(bed.request({ principal: 'bad' }), letter());
  const { message } = await bed.outbox.accept(bed.request({ deadline: clock.now() + 3_600_000 }), letter());
  const delivery = start();
  await delivery.idle();
  assert.deepEqual(reports, ['outbox.refused']);
  await pass(clock, delivery, 3_700_000, 20_000);
  assert.deepEqual(reports, ['outbox.refused', 'outbox.expired']);
  const { state } = (await bed.outbox.find(message.id))!;
  assert.ok(state.type === 'failed' && state.code === 'outbox.expired' && state.at - message.createdAt < 3_650_000);
});

for (const [seen, sends, duplicate] of [
  ['found', 1, undefined],
  ['absent', 2, true],
  ['unable', 2, true],
] as const) {
  test(`K5: the connection is lost after the last octet, and the sent mail says: ${seen}`, async (t) => {
    let first = true;
    const { bed, clock, log, start } = await bench(
      t,
      (job) => {
        if (!first) return sent(job);
        first = false;
        return { type: 'unknown', reply: silent('the connection was closed') };
      },
      { probe: { look: () => Promise.resolve(seen) } },
    );
    const { message } = await bed.outbox.accept(bed.request(), letter());
    const delivery = start();
    for (let step = 0; step < 120; step++) {
      await new Promise((turn) => setImmediate(turn));
      await clock.advance(1000);
    }
    await delivery.idle();
    assert.equal((await bed.outbox.find(message.id))!.state.type, 'sent');
    assert.equal(log.length, sends);
    const story = await bed.outbox.events({ messageId: message.id, limit: 20 });
    assert.equal(
      story.some(({ data }) => data['mayBeDuplicate'] === true),
      duplicate === true,
    );
  });
}

test('a process dies in the middle: another one finds out what became of it before trying again', async (t) => {
  const looked: string[] = [];
  const { bed, clock, log, start } = await bench(t, sent, {
    probe: {
      look: async (attempt) => {
        looked.push(attempt.message.id);
        return 'found';
      },
    },
  });
  const { message } = await bed.outbox.accept(bed.request(), letter());
  const now = clock.now();
  await bed.store.outbox.claim({ mailbox: bed.mailbox.address, now, until: now + 15_000, owner: 'dead', limit: 9 });
  const delivery = start();
  await delivery.idle();
  assert.equal(log.length, 0, 'as long as the claim may be alive nothing happens');
  for (let step = 0; step < 100; step++) {
    await new Promise((turn) => setImmediate(turn));
    await clock.advance(1000);
  }
  await delivery.idle();
  assert.deepEqual([looked, log.length], [[message.id], 0]);
  assert.equal((await bed.outbox.find(message.id))!.state.type, 'sent');
});
