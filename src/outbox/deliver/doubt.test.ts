/** Attempts without a known end: whoever may have the message is never told of as somebody who has not got it. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { pass, said, sent } from '../../../test/bed/delivery-bench.ts';
import { letter, MARKS, openOutboxBed } from '../../../test/bed/outbox.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { nullLog } from '../../base/log.ts';
import { startDelivery } from './delivery.ts';
import { silent } from './judge.ts';
import { compose, report } from './report.ts';
import type { Outcome, Route, SendJob, SentProbe } from './types.ts';

const BOB = 'bob@contoso.test';
const HEADER = { type: 'text/rfc822-headers', octets: Buffer.from('Subject: x\r\n') } as const;
const lost = (): Outcome => ({ type: 'unknown', reply: silent('the connection was closed') });

interface Way {
  readonly name: string;
  readonly leavesNoCopy?: boolean;
}

/** `answers` are given in turn, the last one from then on. */
async function bench(
  t: TestContext,
  answers: readonly ((job: SendJob) => Outcome)[],
  { probe, ways = [{ name: 'relay', leavesNoCopy: true }] }: { readonly probe?: SentProbe; readonly ways?: Way[] } = {},
) {
  const clock = new ManualClock();
  const bed = await openOutboxBed({ clock });
  let tries = 0;
  const routes = (): readonly Route[] =>
    ways.map((way) => ({
      ...way,
      send: (job) => Promise.resolve(answers[Math.min(tries++, answers.length - 1)]!(job)),
      close: () => Promise.resolve(),
    }));
  const reports: string[] = [];
  const deps = { store: bed.store, outbox: bed.outbox, clock, hostname: 'gate.test' };
  const delivery = startDelivery({
    ...deps,
    log: nullLog,
    owner: 'me',
    marks: MARKS,
    ...(probe ? { probe } : {}),
    limits: () => Promise.resolve({ messagesPerMinute: undefined, recipientsPerDay: undefined, connections: 1 }),
    routes: () => Promise.resolve(routes()),
    async report(message, kind) {
      if (message.source === 'report') return;
      const concerned = message.recipients.filter(({ state }) => state === 'refused');
      if (kind === 'failed') reports.push(compose(message, kind, concerned, HEADER, deps).toString());
      await report(deps, message, kind);
    },
  });
  t.after(async () => {
    await delivery.close();
    await bed.close();
  });
  const story = async (id: string) => (await bed.outbox.events({ messageId: id, limit: 100 })).toReversed();
  const tried = (): number => tries;
  return { bed, clock, delivery, reports, story, tried };
}

// RFC 3464 §2.3.3, §2.4, RFC 3463 §3.5
test('K2: an attempt whose answer was lost, and whose deadline passes: it may have arrived, and nobody says it has not', async (t) => {
  const { bed, clock, delivery, reports, story } = await bench(t, [lost]);
  const { message } = await bed.outbox.accept(bed.request({ deadline: clock.now() + 60_000 }), letter());
  await pass(clock, delivery, 300_000, 5_000);
  const { recipients, state } = (await bed.outbox.find(message.id))!;
  assert.ok(state.type === 'failed' && state.code === 'outbox.may-have-arrived', JSON.stringify(state));
  assert.match(
    state.reason,
    /^it may have been delivered: the answer to an attempt was lost \(the connection was closed\)/,
  );
  assert.match(recipients[0]!.mayHaveArrived!, /connection was closed/);
  const end = (await story(message.id)).find(({ type }) => type === 'failed')!;
  assert.deepEqual(end.data['mayHaveArrived'], [BOB]);
  assert.equal(reports.length, 1);
  assert.match(reports[0]!, /^Subject: Possibly not delivered: x\r$/m);
  assert.match(reports[0]!, /It is not known whether this message was delivered\. It may have been delivered to:/);
  assert.doesNotMatch(reports[0]!, /It was not delivered/);
  assert.match(
    reports[0]!,
    /^Action: failed\r\nStatus: 5\.4\.2\r\nX-Postern-May-Have-Arrived: the connection was closed\r$/m,
  );
});

test('K2: an attempt whose answer was lost, then a refusal as a duplicate: it may have arrived', async (t) => {
  const { bed, clock, delivery, reports, story } = await bench(t, [lost, said('554 5.6.0 duplicate message')]);
  const { message } = await bed.outbox.accept(bed.request(), letter());
  await pass(clock, delivery, 120_000, 5_000);
  const { state } = (await bed.outbox.find(message.id))!;
  assert.ok(state.type === 'failed' && state.code === 'outbox.may-have-arrived', JSON.stringify(state));
  assert.match(state.reason, /may have been delivered.*554 5\.6\.0 duplicate message$/);
  assert.deepEqual((await story(message.id)).find(({ type }) => type === 'failed')!.data['mayHaveArrived'], [BOB]);
  assert.match(
    reports[0]!,
    /^Status: 5\.6\.0\r\nDiagnostic-Code: smtp; 554 5\.6\.0 duplicate message\r\nX-Postern-May/m,
  );
  // By hand once more, and other recipients: what is not known stays unknown.
  const again = await bed.outbox.retry(message.id, 'me');
  assert.ok(again.recipients[0]!.mayHaveArrived !== undefined);
});

for (const [what, last, copy, state] of [
  ['its deadline passes', said('451 4.7.1 later'), 'found', 'sent'],
  ['it is refused as a duplicate', said('554 5.6.0 duplicate message'), 'found', 'sent'],
  ['its deadline passes and there is no copy', said('451 4.7.1 later'), 'absent', 'failed'],
] as const)
  test(`K2: it may have arrived, ${what}: it is looked for once more before it is given up`, async (t) => {
    let tries = 0;
    const probe: SentProbe = { look: () => Promise.resolve(tries < 2 ? 'absent' : copy) };
    const answer = (job: SendJob): Outcome => (++tries === 1 ? lost() : last(job));
    const { bed, clock, delivery, reports, story } = await bench(t, [answer], { probe, ways: [{ name: 'smtp' }] });
    const { message } = await bed.outbox.accept(bed.request({ deadline: clock.now() + 100_000 }), letter());
    for (let step = 0; step < 200; step++) {
      await new Promise((turn) => setImmediate(turn));
      await clock.advance(1000);
    }
    await delivery.idle();
    assert.equal((await bed.outbox.find(message.id))!.state.type, state);
    assert.equal(reports.length, state === 'sent' ? 0 : 1);
    const end = (await story(message.id)).find(({ type }) => type === state)!;
    assert.equal(end.data['proof'], state === 'sent' ? 'mark' : undefined);
  });

test('K2: a refusal of somebody who can have got nothing says so as before', async (t) => {
  const { bed, clock, delivery, reports } = await bench(t, [said('550 5.1.1 nobody')]);
  const { message } = await bed.outbox.accept(bed.request(), letter());
  await pass(clock, delivery, 10_000, 5_000);
  const { recipients, state } = (await bed.outbox.find(message.id))!;
  assert.ok(state.type === 'failed' && state.code === 'outbox.refused');
  assert.equal(recipients[0]!.mayHaveArrived, undefined);
  assert.match(reports[0]!, /^Subject: Not delivered: x\r$/m);
  assert.doesNotMatch(reports[0]!, /may have|X-Postern-May/i);
});

test('K5: a copy that appears after the last look: the story says that it may arrive twice', async (t) => {
  let looks = 0;
  const probe: SentProbe = { look: () => Promise.resolve(++looks > 5 ? 'found' : 'absent') };
  const { bed, clock, delivery, story, tried } = await bench(t, [lost, sent], { probe, ways: [{ name: 'smtp' }] });
  const { message } = await bed.outbox.accept(bed.request(), letter());
  for (let step = 0; step < 120; step++) {
    await new Promise((turn) => setImmediate(turn));
    await clock.advance(1000);
  }
  await delivery.idle();
  assert.equal(tried(), 2);
  const events = await story(message.id);
  const deferred = events.find(({ type }) => type === 'deferred')!.data;
  assert.deepEqual([deferred['mayBeDuplicate'], deferred['probablyNotSent']], [true, true]);
  assert.match(String(deferred['reason']), /probably not sent/);
  assert.equal(events.find(({ type }) => type === 'sent')!.data['mayBeDuplicate'], true);
});

for (const [what, before, today, duplicate] of [
  [
    'went by a way without copies, and today goes by one with',
    [{ name: 'relay', leavesNoCopy: true }],
    'smtp',
    'maybe',
  ],
  ['went by a way with copies, and today goes by one without', [{ name: 'smtp' }], 'relay', 'hardly'],
] as const)
  test(`K4: an interrupted attempt that ${what} is judged by its own`, async (t) => {
    let looks = 0;
    const probe: SentProbe = { look: () => Promise.resolve((looks++, 'absent')) };
    const ways = today === 'relay' ? [{ name: today, leavesNoCopy: true }] : [{ name: today }];
    const { bed, clock, delivery, story } = await bench(t, [sent], { probe, ways });
    const { waysText } = await import('./doubt.ts');
    const { message } = await bed.outbox.accept(bed.request({ notBefore: clock.now() + 60_000 }), letter());
    await delivery.idle();
    await clock.advance(59_000);
    const now = clock.now() + 1_000;
    const claim = { mailbox: bed.mailbox.address, now, until: now + 15_000, owner: 'dead', limit: 9 };
    const [claimed] = await bed.store.outbox.claim({ ...claim, ways: waysText(before) });
    assert.equal(claimed!.id, message.id);
    for (let step = 0; step < 150; step++) {
      await new Promise((turn) => setImmediate(turn));
      await clock.advance(1000);
    }
    await delivery.idle();
    const events = await story(message.id);
    const { data } = events.find(({ type }) => type === 'deferred')!;
    const route = events.find(({ type, data }) => type === 'attempted' && data['outcome'] !== 'sent')!.data['route'];
    assert.equal(route, before[0].name, 'K28: its story names the way it took');
    assert.equal(data['mayBeDuplicate'], true);
    assert.equal(data['probablyNotSent'], duplicate === 'hardly' ? true : undefined);
    assert.equal(looks > 0, duplicate === 'hardly', 'it is looked for where it would be');
    assert.equal((await bed.outbox.find(message.id))!.state.type, 'sent');
  });

test('where no copy is kept nobody looks, and a missing copy is not taken for "not sent"', async (t) => {
  let looks = 0;
  const probe: SentProbe = { look: () => Promise.resolve((looks++, 'absent')) };
  const { bed, clock, delivery, story } = await bench(t, [lost, sent], { probe });
  const { message } = await bed.outbox.accept(bed.request(), letter());
  await pass(clock, delivery, 300_000, 5_000);
  assert.equal(looks, 0);
  const put = (await story(message.id)).find(({ type }) => type === 'deferred')!;
  assert.deepEqual([put.data['mayBeDuplicate'], put.data['probablyNotSent']], [true, undefined]);
});

for (const [ways, looks, notSent] of [
  ['smtp graph', true, true],
  ['smtp relay:no-copy', true, undefined],
  ['relay:no-copy', false, undefined],
  [undefined, true, undefined],
] as const)
  test(`what a process that died had in hand, by the ways ${ways}: whether a missing copy says anything`, async (t) => {
    let looked = 0;
    const probe: SentProbe = { look: () => Promise.resolve((looked++, 'absent')) };
    const { bed, clock, delivery, story } = await bench(t, [sent], { probe });
    await delivery.close();
    const { message } = await bed.outbox.accept(bed.request(), letter());
    const now = clock.now();
    const claim = { mailbox: bed.mailbox.address, now, until: now + 15_000, owner: 'dead', limit: 1 };
    await bed.store.outbox.claim({ ...claim, ...(ways === undefined ? {} : { ways }) });
    await clock.advance(300_000);
    const next = startDelivery({
      store: bed.store,
      outbox: bed.outbox,
      clock,
      log: nullLog,
      owner: 'me',
      marks: MARKS,
      probe,
      limits: () => Promise.resolve({ messagesPerMinute: undefined, recipientsPerDay: undefined, connections: 1 }),
      routes: () => Promise.resolve([]),
    });
    t.after(() => next.close());
    for (let step = 0; step < 4; step++) {
      await new Promise((turn) => setImmediate(turn));
      await clock.advance(1_000);
    }
    await next.idle();
    assert.equal(looked > 0, looks);
    const put = (await story(message.id)).find(({ type }) => type === 'deferred')!;
    assert.deepEqual([put.data['mayBeDuplicate'], put.data['probablyNotSent']], [true, notSent]);
  });

test('a claim says which of its ways keep no copy', async (t) => {
  const ways = [{ name: 'smtp' }, { name: 'relay', leavesNoCopy: true }];
  const written: (string | undefined)[] = [];
  const { bed, delivery } = await bench(
    t,
    [
      (job) => {
        const { state } = job.message;
        written.push(state.type === 'sending' ? state.ways : undefined);
        return sent(job);
      },
    ],
    { ways },
  );
  await bed.outbox.accept(bed.request(), letter());
  await delivery.idle();
  assert.deepEqual(written, ['smtp relay:no-copy']);
});
