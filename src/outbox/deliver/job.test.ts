/** One attempt as its routes see it, and the time that delivery has lived through. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jobOf, letter, openOutboxBed } from '../../../test/bed/outbox.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { nullLog } from '../../base/log.ts';
import type { NewMessageEvent, Recipient } from '../../store/types-outbox.ts';
import { InboxRoute } from './inbox-route.ts';
import { PassingTime } from './passing-time.ts';

const DAY_MS = 86_400_000;

test('what was said at RCPT is written down: who was refused, and who is named in this attempt', async (t) => {
  const bed = await openOutboxBed();
  t.after(bed.close);
  const recipients = ['yes@x.test', 'no@x.test', 'late@x.test'].map((address) => ({ address }));
  const { message } = await bed.outbox.accept(
    bed.request({ envelope: { from: bed.mailbox.address, recipients } }),
    letter(),
  );
  const written: { recipients?: readonly Recipient[] | undefined; events: readonly NewMessageEvent[] }[] = [];
  const job = jobOf(
    {
      outbox: bed.outbox,
      change: async (_id, _fence, change, events) => {
        written.push({ recipients: change.recipients, events });
        return { ...message, ...change };
      },
    },
    message,
    bed.mailbox,
  );
  await job.named([
    { address: 'yes@x.test', outcome: 'delivered', reply: '250' },
    { address: 'no@x.test', outcome: 'refused', reply: '550' },
    { address: 'late@x.test', outcome: 'later', reply: '451' },
  ]);
  assert.deepEqual(
    written[0]!.recipients!.map(({ attempt, state }) => [state, attempt]),
    [
      ['pending', message.attempts],
      ['refused', undefined],
      ['pending', undefined],
    ],
  );
  assert.deepEqual(
    written[0]!.events.map(({ data, type }) => [type, data['recipients']]),
    [['refused', [{ address: 'no@x.test', outcome: 'refused', reply: '550' }]]],
  );
  assert.deepEqual(
    job.recipients.map(({ address }) => address),
    ['yes@x.test', 'late@x.test'],
  );
  await job.named([{ address: 'yes@x.test', outcome: 'delivered', reply: '250' }]);
  assert.deepEqual(written[1]!.events, []);
});

test('a mailbox without IMAP has no inbox to put a report into, and is not signed in to', async (t) => {
  const bed = await openOutboxBed();
  t.after(bed.close);
  const { message } = await bed.outbox.accept(bed.request(), letter());
  const route = new InboxRoute(() => assert.fail('signed in'), new ManualClock());
  const job = jobOf({ outbox: bed.outbox }, message, { ...bed.mailbox, protocols: ['smtp'] });
  const outcome = await route.send(job, new AbortController().signal);
  assert.deepEqual([outcome.type, 'code' in outcome && outcome.code], ['closed', 'oauth.not-granted']);
});

test('deadlines are moved by the time nobody delivered, also when a new process begins after it', async (t) => {
  const clock = new ManualClock();
  const bed = await openOutboxBed({ clock });
  t.after(bed.close);
  const deps = { store: bed.store, clock, log: nullLog };
  const { message } = await bed.outbox.accept(bed.request(), letter());
  const first = new PassingTime(deps);
  assert.deepEqual(await first.look(), { first: true, jumped: false });
  await clock.advance(80_000);
  assert.deepEqual(await first.look(), { first: false, jumped: false });
  assert.equal(await first.deadline(message), message.deadline, 'looks are that far apart');
  await clock.advance(3_600_000);
  const second = new PassingTime(deps);
  assert.equal((await second.look()).first, true);
  assert.equal(await second.deadline(message), message.deadline + 3_600_000);
});

test('Q7: a database that fails while deadlines are moved takes no time from them: the next look moves them', async (t) => {
  const clock = new ManualClock();
  const bed = await openOutboxBed({ clock });
  t.after(bed.close);
  let fails = false;
  const outbox = {
    ...bed.store.outbox,
    prolongDeadlines: (lost: { from: number; to: number }) =>
      fails ? Promise.reject(new Error('the database is away')) : bed.store.outbox.prolongDeadlines(lost),
  };
  const { message } = await bed.outbox.accept(bed.request(), letter());
  const passing = new PassingTime({ store: { outbox }, clock, log: nullLog });
  await passing.look();
  await clock.advance(3_600_000);
  fails = true;
  await assert.rejects(passing.look());
  await clock.advance(5_000);
  fails = false;
  await passing.look();
  assert.equal(await passing.deadline(message), message.deadline + 3_605_000);
});

test('Q8, K44: mail accepted by a clock a day behind has its two days from when the clock is right, and shows when that clock took it', async (t) => {
  for (const restarted of [false, true]) {
    const clock = new ManualClock();
    const bed = await openOutboxBed({ clock });
    t.after(bed.close);
    const right = clock.now();
    const deps = { store: bed.store, clock, log: nullLog };
    clock.jump(-DAY_MS);
    const passing = new PassingTime(deps);
    await passing.look();
    const { message } = await bed.outbox.accept(bed.request(), letter());
    assert.equal(message.deadline, right + DAY_MS);
    clock.jump(DAY_MS);
    await (restarted ? new PassingTime(deps) : passing).look();
    const found = (await bed.outbox.find(message.id))!;
    assert.equal(found.deadline, right + 2 * DAY_MS);
    assert.equal(found.createdAt, right - DAY_MS);
  }
});
