/** What rests: the account, the way out, the organisation, the server; one tries for all, and nobody's mail is lost by it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchOf as bench, DAY, HOUR, pass, refusedPort, said, sent } from '../../../test/bed/delivery-bench.ts';
import { letter } from '../../../test/bed/outbox.ts';
import { evidenceIn } from '../../oauth/catalogue/evidence.ts';
import { refusalOf } from '../../oauth/catalogue/refusal.ts';
import { listRests } from '../rest.ts';
import { outcomeOf, restOf } from './judge.ts';

for (const [what, reply, scope, tries] of [
  ['daily quota', '554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; x', 'mailbox', 30],
  ['blocked sender', '550 5.1.8 Access denied, bad outbound sender', 'mailbox', 30],
  ['full mailbox', '554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException', 'mailbox', 30],
  ['blocked organisation', '550 5.7.705 Access denied, tenant has exceeded threshold', 'tenant', 30],
  ['unregistered domain', '550 5.7.750 Service unavailable. Client blocked', 'tenant', 30],
  ['external recipients of a trial', '550 5.7.232 trial tenant has exceeded its daily limit', 'tenant', 30],
  ['external recipients', '550 5.7.233 tenant exceeded its daily limit', 'tenant', 30],
  ['onmicrosoft.com recipients', '550 5.7.236 tenant exceeded its daily limit', 'tenant', 30],
] as const) {
  test(`L8: ${what}: 40 messages wait, few tries are made, all arrive afterwards`, async (t) => {
    let shut = true;
    const { accept, bed, clock, start, tried } = await bench(t, (job) => (shut ? said(reply)(job) : sent(job)));
    const other = await bed.addMailbox('bob@contoso.test');
    const stranger = await bed.addTenant('carol@fabrikam.test');
    const ids = await accept(40);
    const delivery = start();
    await delivery.idle();
    assert.deepEqual(await bed.outbox.stats().then(({ queued }) => queued), 40, 'nothing failed');
    const [rest, ...more] = await listRests(bed.store.outbox);
    assert.deepEqual([rest!.scope, rest!.reply, more.length], [scope, reply, 0]);
    assert.ok(rest!.until > clock.now() && rest!.cause !== '' && rest!.remedy !== '');
    // What is said of one mailbox is not said of others; of the organisation it is.
    shut = false;
    const before = tried.length;
    await accept(1, stranger);
    await accept(1, other);
    await delivery.idle();
    assert.deepEqual(
      tried
        .slice(before)
        .map(({ mailbox }) => mailbox)
        .toSorted(),
      scope === 'tenant' ? [stranger.address] : [other.address, stranger.address].toSorted(),
    );
    shut = true;
    // The whole day once; what is the same for all shows in hours.
    await pass(clock, delivery, what === 'daily quota' ? DAY - 2 * HOUR : 3 * HOUR, 20 * 60_000);
    const mine = tried.filter(({ id }) => ids.includes(id));
    assert.ok(mine.length <= tries + 3, `${mine.length} tries`);
    assert.ok(new Set(mine.slice(3).map(({ id }) => id)).size <= 1, 'the oldest tries for all');
    shut = false;
    await pass(clock, delivery, 3 * HOUR, 10 * 60_000);
    assert.equal((await bed.outbox.stats()).queued, 0);
    const states = await Promise.all(ids.map(async (id) => (await bed.outbox.find(id))!.state.type));
    assert.deepEqual(new Set(states), new Set(['sent']));
    assert.deepEqual(await listRests(bed.store.outbox), []);
  });
}

test('L8: the time an account was refused does not count towards the deadline', async (t) => {
  let shut = true;
  const { accept, bed, clock, start } = await bench(t, (job) =>
    shut ? said('550 5.1.8 Access denied, bad outbound sender')(job) : sent(job),
  );
  const [id] = await accept(1);
  const delivery = start();
  await pass(clock, delivery, 4 * DAY, HOUR / 2);
  assert.equal((await bed.outbox.find(id!))!.state.type, 'queued', 'two days were its time');
  shut = false;
  await pass(clock, delivery, 2 * HOUR, HOUR / 4);
  assert.equal((await bed.outbox.find(id!))!.state.type, 'sent');
});

test('L8: a mailbox that is refused for longer than a week: its mail is given up, and says why', async (t) => {
  const { accept, bed, clock, start } = await bench(t, said('550 5.1.8 Access denied, bad outbound sender'));
  const ids = await accept(5);
  const delivery = start();
  await pass(clock, delivery, 8 * DAY, HOUR);
  for (const id of ids) {
    const { state } = (await bed.outbox.find(id))!;
    assert.ok(state.type === 'failed' && state.code === 'outbox.expired', state.type);
    assert.match(state.reason, /5\.1\.8/);
  }
});

test('L8: a recipient’s full mailbox is the recipient’s, the sender’s own is the mailbox’s', () => {
  const full = '552 5.2.2 mailbox full';
  const { reply } = evidenceIn(full);
  const asked = { mailbox: { address: 'a@x.test', access: 'own' as const }, from: 'a@x.test' };
  assert.equal(restOf(refusalOf({ reply: reply! }, {}, 'recipient'), asked), undefined);
  assert.equal(restOf(refusalOf({ reply: reply! }), asked)!.scope, 'mailbox');
});

test('L8: without the right to send as a shared mailbox all of it rests; another sender is the message’s own choice', () => {
  const refusal = refusalOf(evidenceIn('550 5.7.60 SMTP; Client does not have permissions to send as this sender'));
  const shared = { address: 's@x.test', access: 'shared' as const };
  assert.equal(restOf(refusal, { mailbox: shared, from: 'S@x.test' })!.scope, 'mailbox');
  assert.equal(restOf(refusal, { mailbox: shared, from: 'other@x.test' }), undefined);
  assert.equal(restOf(refusal, { mailbox: { ...shared, access: 'own' }, from: 's@x.test' }), undefined);
});

test('L8: some recipients were taken before the quota was used up: the others wait, nobody is refused', async (t) => {
  const quota = '550 5.4.5 Daily user sending limit exceeded.';
  let round = 0;
  const { bed, clock, start } = await bench(t, (job) => {
    round += 1;
    return outcomeOf(
      {
        type: 'taken',
        reply: { code: 250, enhanced: undefined, text: '250 OK' },
        recipients: job.recipients.map((_, at) =>
          round === 1 && at > 0
            ? { code: 550, enhanced: '5.4.5', text: quota }
            : { code: 250, enhanced: undefined, text: '250 OK' },
        ),
      },
      job.recipients,
      { mailbox: job.mailbox, from: job.message.envelopeFrom },
    );
  });
  const recipients = ['a@x.test', 'b@x.test'].map((address) => ({ address }));
  const { message } = await bed.outbox.accept(
    bed.request({ envelope: { from: bed.mailbox.address, recipients } }),
    letter(),
  );
  const delivery = start();
  await delivery.idle();
  assert.equal((await listRests(bed.store.outbox))[0]!.row, 'smtp.daily-quota');
  await pass(clock, delivery, 2 * HOUR, HOUR / 4);
  const found = (await bed.outbox.find(message.id))!;
  assert.deepEqual(
    [found.state.type, ...found.recipients.map(({ state }) => state)],
    ['sent', 'delivered', 'delivered'],
  );
  assert.equal(round, 2);
});

test('L8: SMTP AUTH off: one message finds out, all go by the other way, and SMTP is tried now and then', async (t) => {
  const { accept, bed, clock, start, tried } = await bench(
    t,
    (job, route) =>
      route === 'graph'
        ? sent(job)
        : said('535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. x')(job),
    ['smtp', 'graph'],
  );
  const ids = await accept(50);
  const delivery = start();
  await delivery.idle();
  assert.equal((await bed.outbox.stats()).queued, 0);
  assert.ok(tried.filter(({ route }) => route === 'smtp').length <= 3);
  const story = await bed.outbox.events({ messageId: ids.at(-1)!, limit: 9 });
  assert.match(String(story[1]!.data['reply']), /SMTP AUTH is switched off/);
  await clock.advance(HOUR);
  await accept(1);
  await delivery.idle();
  assert.equal(tried.at(-2)!.route, 'smtp', 'looked at again');
});

test('L8: both ways shut and the message unfit for the last: it waits, it does not fail', async (t) => {
  const { accept, bed, start } = await bench(
    t,
    (job, route) =>
      route === 'graph'
        ? { type: 'unfit', code: 'outbox.unfit', reply: { code: undefined, enhanced: undefined, text: 'sealed' } }
        : said('535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. x')(job),
    ['smtp', 'graph'],
  );
  const ids = await accept(2);
  await start().idle();
  for (const id of ids) assert.equal((await bed.outbox.find(id))!.state.type, 'queued');
});

test('L13: 400 queued in 20 mailboxes and the port refused: one connection at a time, few log lines, quick recovery', async (t) => {
  let up = false;
  const { accept, bed, clock, lines, start, tried } = await bench(t, (job) => (up ? sent(job) : refusedPort(job)));
  const boxes = [bed.mailbox];
  for (let at = 1; at < 20; at++) boxes.push(await bed.addMailbox(`box${at}@contoso.test`));
  for (const box of boxes) await accept(20, box);
  const delivery = start();
  const begun = clock.now();
  await pass(clock, delivery, 60_000, 1_000);
  // At the very first moment several are under way; after that one probe at a time, further and further apart.
  assert.ok(tried.length <= 70, `${tried.length} connections in a minute`);
  assert.ok(tried.filter(({ at }) => at > begun).length <= 6);
  assert.ok(lines.length <= 80, `${lines.length} lines`);
  const before = tried.length;
  await pass(clock, delivery, HOUR, 30_000);
  assert.ok(tried.length - before <= 18, `${tried.length - before} in an hour`);
  up = true;
  await pass(clock, delivery, 7 * 60_000, 30_000);
  assert.equal((await bed.outbox.stats()).queued, 0);
  assert.deepEqual(await listRests(bed.store.outbox), []);
});

test('L13: while one message tries, the others wait for how it ends', async (t) => {
  let mode: 'down' | 'slow' | 'up' = 'down';
  let release: () => void = () => undefined;
  const slow = new Promise<void>((resolve) => (release = resolve));
  const { accept, bed, clock, start, tried } = await bench(t, async (job) => {
    if (mode === 'down') return refusedPort(job);
    if (mode === 'slow') await slow;
    return sent(job);
  });
  await accept(30);
  const delivery = start();
  await delivery.idle();
  mode = 'slow';
  const before = tried.length;
  for (let step = 0; step < 60; step++) {
    await clock.advance(1_000);
    await new Promise((turn) => setImmediate(turn));
  }
  assert.equal(tried.length - before, 1);
  mode = 'up';
  release();
  await delivery.idle();
  assert.equal((await bed.outbox.stats()).queued, 0);
});

test('L13: a restart does not forget what rests, and another server is not asked less for it', async (t) => {
  const { accept, bed, clock, start, tried } = await bench(
    t,
    (job) =>
      job.mailbox.address.startsWith('z') ? sent(job) : said('550 5.1.8 Access denied, bad outbound sender')(job),
    ['smtp'],
    ({ address }) => (address.startsWith('z') ? 'other.test:587' : 'smtp.test:587'),
  );
  await accept(3);
  const first = start();
  await first.idle();
  await first.close();
  const before = tried.length;
  const other = await bed.addMailbox('zoe@contoso.test');
  await accept(1, other);
  const second = start();
  await pass(clock, second, 60_000, 5_000);
  assert.deepEqual(
    tried.slice(before).map(({ mailbox }) => mailbox),
    ['zoe@contoso.test'],
  );
});

test('F6: the attempts in a story are numbered without gaps, whatever was found out by other messages', async (t) => {
  let shut = true;
  const refused = said('550 5.1.8 Access denied, bad outbound sender');
  const { accept, bed, clock, start, tried } = await bench(t, (job) => (shut ? refused(job) : sent(job)));
  const ids = await accept(3);
  const delivery = start();
  await pass(clock, delivery, 6 * HOUR, HOUR / 2);
  assert.ok(tried.length > 5, `${tried.length} tries`);
  // The one that tried for all is gone: another does now.
  await bed.outbox.cancel(ids[0]!, 'a test');
  await pass(clock, delivery, 4 * HOUR, HOUR / 2);
  shut = false;
  await pass(clock, delivery, 3 * HOUR, HOUR / 2);
  for (const id of ids) {
    const { attempts } = (await bed.outbox.find(id))!;
    const story = await bed.outbox.events({ messageId: id, types: ['attempted'], limit: 100 });
    const numbers = story.map(({ data }) => data['attempt']);
    assert.deepEqual(
      numbers,
      Array.from({ length: attempts }, (_, at) => at + 1),
    );
  }
});
