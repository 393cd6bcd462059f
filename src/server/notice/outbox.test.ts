import assert from 'node:assert/strict';
import { test } from 'node:test';
import { letter, openOutboxBed } from '../../../test/bed/outbox.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import type { Rest } from '../../outbox/rest.ts';
import type { NoticeBody } from './notice-body.ts';
import { outboxNotices, surveyOutbox } from './outbox.ts';

const HOUR = 3_600_000;
const now = Date.UTC(2026, 10, 30);
const rest = (change: Partial<Rest>): Rest => ({
  scope: 'mailbox',
  about: 'a@x.test',
  mailbox: 'a@x.test',
  route: 'smtp',
  row: 'smtp.sender-blocked',
  cause: 'Exchange has blocked this account',
  remedy: 'unblock it',
  code: 'outbox.deferred',
  reply: '550 5.1.8 Access denied, bad outbound sender',
  againMs: HOUR,
  since: now - 1000,
  lastAt: now - 1000,
  until: now + HOUR,
  tries: 1,
  closed: false,
  ...change,
});
const MISSING: readonly [string, Partial<NoticeBody>] = ['', {}];
const late = { mailbox: 'a@x.test', count: 3, since: now - 5 * HOUR };
const causes = (rests: readonly Rest[], waiting: readonly (typeof late)[] = []): readonly string[] =>
  outboxNotices({ rests, late: waiting, untold: [] }, now).map(([cause]) => cause);

test('L8: an account that is refused is told at once, with what to do and until when', () => {
  const [[cause, body] = MISSING] = outboxNotices({ rests: [rest({})], late: [], untold: [] }, now);
  assert.equal(cause, 'outbox/mailbox/a@x.test');
  assert.match(
    body.summary ?? '',
    /mail of a@x\.test waits since .* blocked this account; it does not pass by itself; next try/,
  );
  const quota = rest({ row: 'smtp.daily-quota', passesWhen: '24 hours have passed', passesMs: 24 * HOUR });
  const [[, told] = MISSING] = outboxNotices({ rests: [quota], late: [], untold: [] }, now);
  assert.equal(told.deadline, new Date(quota.since + 24 * HOUR).toISOString());
  assert.match(told.summary ?? '', /it passes by 2026-11-30 23:59 UTC/);
});

test('L23: a server that cannot be reached is told when it has lasted an hour', () => {
  const down = {
    scope: 'endpoint',
    about: 'smtp h:587',
    row: 'network.refused',
    passesWhen: 'it is up again',
  } as const;
  assert.deepEqual(causes([rest(down)]), []);
  assert.deepEqual(causes([rest({ ...down, since: now - HOUR })]), ['outbox/endpoint/smtp h:587']);
});

test('L23: no route works (SMTP AUTH off, Graph out of reach): told; with another route at work it is not', () => {
  const shut = rest({ scope: 'route', about: 'smtp a@x.test', row: 'smtp.auth-off-tenant', closed: true });
  assert.deepEqual(causes([shut]), []);
  assert.deepEqual(causes([shut], [late]), ['outbox/route/smtp a@x.test']);
});

test('L23: mail that is put off for hours is told, mail that waits for its turn is not', async (t) => {
  const clock = new ManualClock();
  const bed = await openOutboxBed({ clock });
  t.after(() => bed.close());
  const { message } = await bed.outbox.accept(bed.request(), letter());
  await bed.outbox.accept(bed.request(), letter());
  await clock.advance(5 * HOUR);
  assert.deepEqual((await surveyOutbox(bed.store, clock.now())).late, []);
  const at = clock.now();
  const [claimed] = await bed.store.outbox.claim({
    mailbox: bed.mailbox.address,
    now: at,
    until: at + 1,
    owner: 'me',
    limit: 1,
  });
  await bed.store.outbox.change(message.id, claimed!.fence, { state: { type: 'queued', nextAt: at + HOUR } }, []);
  const trouble = await surveyOutbox(bed.store, clock.now());
  assert.deepEqual(
    trouble.late.map((one) => ({ ...one })),
    [{ mailbox: bed.mailbox.address, count: 1, since: message.createdAt }],
  );
  const [[cause, body] = MISSING] = outboxNotices(trouble, at);
  assert.equal(cause, `outbox-late/${bed.mailbox.address}`);
  assert.match(body.summary ?? '', /^a message of alice@contoso\.test could not be sent since /);
});

// RFC 5321 §4.5.5, §6.1
test('F2: a report that failed for good is told, because it has no sender who could be', async (t) => {
  const clock = new ManualClock();
  const bed = await openOutboxBed({ clock });
  t.after(() => bed.close());
  const envelope = { from: '', recipients: [{ address: 'bob@x.test' }] };
  const report = letter(`From: ${bed.mailbox.address}\nAuto-Submitted: auto-replied\n\nx\n`);
  const { message } = await bed.outbox.accept(bed.request({ envelope }), report);
  const { message: other } = await bed.outbox.accept(bed.request(), letter());
  const reason = '554 5.2.252 SendAsDenied';
  for (const { id } of [message, other]) {
    const { fence } = (await bed.store.outbox.find(id))!;
    const state = { type: 'failed', at: clock.now(), code: 'outbox.refused', reason } as const;
    assert.ok(await bed.store.outbox.change(id, fence, { state }, []));
  }
  const notices = async () => outboxNotices(await surveyOutbox(bed.store, clock.now()), clock.now());
  const [[cause, body] = MISSING, ...more] = await notices();
  assert.equal(more.length, 0);
  assert.equal(cause, `outbox-failed/${message.id}`);
  assert.deepEqual([body.type, body.reason], ['outbox.failed', reason]);
  assert.match(body.summary ?? '', /^a report of alice@contoso\.test to bob@x\.test could not be delivered/);
  await clock.advance(25 * HOUR);
  assert.deepEqual(await notices(), []);
});
