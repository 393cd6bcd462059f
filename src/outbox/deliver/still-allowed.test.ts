/** What is withdrawn between acceptance and delivery is not used any more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchOf, pass, sent } from '../../../test/bed/delivery-bench.ts';
import { jobOf, letter } from '../../../test/bed/outbox.ts';
import { PosternError } from '../../base/error.ts';
import { resumeGrant, suspendGrant } from '../../oauth/suspension.ts';
import { listRests, restText } from '../rest.ts';
import { outcomeOf } from './judge.ts';
import { stillAllowed } from './still-allowed.ts';

const BOSS = 'boss@contoso.test';

test('A23: a suspended mailbox sends by no way; what waits says so, and goes when it is resumed', async (t) => {
  for (const route of ['smtp', 'relay', 'graph'])
    await t.test(route, async (t) => {
      const { accept, bed, clock, start, tried } = await benchOf(t, sent, [route]);
      const [id] = await accept(2);
      const { address } = bed.mailbox;
      await bed.store.mailboxes.update(address, { suspended: { since: clock.now(), reason: 'left the company' } });
      const delivery = start();
      await pass(clock, delivery, 3_600_000, 60_000);
      assert.equal(tried.length, 0);
      assert.equal((await bed.outbox.find(id!))!.state.type, 'queued');
      const story = await bed.outbox.events({ messageId: id!, limit: 10 });
      assert.match(
        String(story.find(({ type }) => type === 'deferred')?.data['reason']),
        /suspended: left the company/,
      );
      assert.match(restText((await listRests(bed.store.outbox))[0]!), /^mail of alice@contoso\.test waits/);
      await bed.store.mailboxes.update(address, { suspended: undefined });
      await pass(clock, delivery, 5_000, 1_000);
      assert.equal(tried.length, 2);
      assert.deepEqual(await listRests(bed.store.outbox), []);
    });
});

test('A23: so does one whose grant is suspended', async (t) => {
  const { accept, bed, clock, start, tried } = await benchOf(t, sent, ['relay']);
  await accept(1);
  const deps = { store: bed.store, vault: bed.vault, clock, emit: () => Promise.resolve() };
  await suspendGrant(deps, bed.mailbox.grantId, 'on leave');
  const delivery = start();
  await pass(clock, delivery, 600_000, 60_000);
  assert.equal(tried.length, 0);
  await resumeGrant(deps, bed.mailbox.grantId);
  await pass(clock, delivery, 5_000, 1_000);
  assert.equal(tried.length, 1);
});

test('A24: a sender that was withdrawn is not used for what waits, in the envelope or in the header', async (t) => {
  const { bed, clock, start, tried } = await benchOf(t, sent);
  const mailbox = await bed.addMailbox('carol@contoso.test', { sendAs: [BOSS] });
  const notBefore = clock.now() + 60_000;
  const take = async (from: string, text: string): Promise<string> => {
    const envelope = { from, recipients: [{ address: 'x@y.test' }] };
    return (await bed.outbox.accept(bed.request({ mailbox, envelope, notBefore }), letter(text))).message.id;
  };
  const ids = [
    await take(BOSS, `From: ${BOSS}\n\nhi\n`),
    await take(mailbox.address, `From: ${mailbox.address}, ${BOSS}\nSender: ${mailbox.address}\n\nhi\n`),
  ];
  const own = await take(mailbox.address, `From: ${mailbox.address}\n\nhi\n`);
  const delivery = start();
  await delivery.idle();
  await bed.store.mailboxes.replaceSettings(mailbox.address, mailbox.settings, {});
  await pass(clock, delivery, 70_000, 5_000);
  for (const id of ids) {
    const { state, recipients } = (await bed.outbox.find(id))!;
    assert.ok(state.type === 'failed' && state.code === 'outbox.sender', JSON.stringify(state));
    assert.match(
      state.reason,
      /boss@contoso\.test.* any more; allow it again: postern mailbox set carol@contoso\.test --send-as boss/,
    );
    assert.equal(recipients[0]!.state, 'refused');
  }
  assert.deepEqual(
    tried.map(({ id }) => id),
    [own],
  );
  await bed.store.mailboxes.replaceSettings(mailbox.address, {}, mailbox.settings);
  await bed.outbox.retry(ids[0]!, 'me');
  await pass(clock, delivery, 5_000, 1_000);
  assert.equal((await bed.outbox.find(ids[0]!))!.state.type, 'sent');
});

test('A24: a right that is withdrawn while a mailbox empties its queue counts for the rest of it', async (t) => {
  let withdraw: (() => Promise<void>) | undefined;
  const { bed, clock, start, tried } = await benchOf(t, async (job) => {
    await withdraw?.();
    return sent(job);
  });
  const mailbox = await bed.addMailbox('carol@contoso.test', { sendAs: [BOSS] });
  const envelope = { from: BOSS, recipients: [{ address: 'x@y.test' }] };
  for (let at = 0; at < 20; at++)
    await bed.outbox.accept(bed.request({ mailbox, envelope }), letter('Subject: x\n\nhi\n'));
  withdraw = async () => void (await bed.store.mailboxes.replaceSettings(mailbox.address, mailbox.settings, {}));
  await pass(clock, start(), 5_000, 1_000);
  assert.ok(tried.length <= 3, `${tried.length} left, as many as were under way`);
});

test('A26: who is suppressed by the time of delivery does not get it, and the story says so', async (t) => {
  const suppressed = new Map<string, string>();
  const got: string[] = [];
  const { bed, clock, start } = await benchOf(
    t,
    (job) => {
      got.push(...job.recipients.map(({ address }) => address));
      return outcomeOf({ type: 'taken', reply: OK, recipients: job.recipients.map(() => OK) }, job.recipients, {
        mailbox: job.mailbox,
        from: '',
      });
    },
    ['smtp'],
    undefined,
    undefined,
    { suppressed: () => Promise.resolve(suppressed) },
  );
  const take = async (...to: readonly string[]): Promise<string> => {
    const envelope = { from: bed.mailbox.address, recipients: to.map((address) => ({ address })) };
    const request = bed.request({ envelope, notBefore: clock.now() + 5_000 });
    return (await bed.outbox.accept(request, letter())).message.id;
  };
  const alone = await take('Optout@x.test');
  const both = await take('optout@x.test', 'friend@x.test');
  const delivery = start();
  await delivery.idle();
  suppressed.set('optout@x.test', 'its owner asked for no more mail');
  await pass(clock, delivery, 10_000, 1_000);
  assert.deepEqual(got, ['friend@x.test']);
  const failed = (await bed.outbox.find(alone))!;
  assert.ok(failed.state.type === 'failed' && failed.state.code === 'outbox.suppressed', JSON.stringify(failed.state));
  assert.match(failed.recipients[0]!.reply!, /^suppressed: its owner asked for no more mail/);
  const partly = (await bed.outbox.find(both))!;
  assert.equal(partly.state.type, 'sent');
  assert.deepEqual(
    partly.recipients.map(({ state }) => state),
    ['refused', 'delivered'],
  );
  const refused = (await bed.outbox.events({ messageId: both, limit: 10 })).find(({ type }) => type === 'refused')!;
  assert.match(JSON.stringify(refused.data), /optout@x\.test.*suppressed: /);
});

const OK = { code: 250, enhanced: '2.0.0', text: '250 2.0.0 OK' };

test('a message that cannot be read is left to its way out; a database that is away is not', async (t) => {
  const { bed } = await benchOf(t, sent);
  const { message } = await bed.outbox.accept(bed.request(), letter());
  const look = (code: string) => {
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield* [];
      throw new PosternError(code, { kind: 'later', hint: 'wait' }, 'no');
    };
    return stillAllowed({}, jobOf({ outbox: { body } }, message, bed.mailbox));
  };
  for (const code of ['vault.damaged', 'outbox.not-found']) assert.equal(await look(code), undefined);
  await assert.rejects(look('store.unavailable'), { code: 'store.unavailable' });
});
