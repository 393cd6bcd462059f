/**
 * Proof of delivery against the sandbox's tenant: what is called sent has arrived, whatever lies in Sent Items. The judge is the
 * recipient's mailbox.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { exchangeLimits, type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { type RunningDelivery, startDeliveryDuty } from '../../src/server/delivery.ts';
import type { Mailbox } from '../../src/store/types.ts';
import type { OutboxMessage } from '../../src/store/types-outbox.ts';
import { LeapClock } from '../bed/leap-clock.ts';
import { TenantClient } from '../bed/tenant-client.ts';
import { openTenantHome, type TenantHome } from '../bed/tenant-home.ts';
import { editApplication, editMailbox } from '../../src/store/edit.ts';

const ALICE = 'alice@contoso.test';
const BOB = 'bob@contoso.test';
const CAROL = 'carol@contoso.test';

const clock = new LeapClock(Date.now());
let sandbox: Sandbox;
let home: TenantHome;
let client: TenantClient;
let delivery: RunningDelivery;
let alice: Mailbox;
before(async () => {
  sandbox = await startSandbox({ clock, limits: { messagesPerMinute: 10_000 } });
  sandbox.mailStore.addMailbox(CAROL);
  client = new TenantClient(sandbox);
  home = await openTenantHome(sandbox, { clock });
  const application = await home.application();
  const sendingLimits = { messagesPerMinute: 10_000 };
  const settings = { ...application.settings, graph: sandbox.graph, sendingLimits };
  await editApplication(home.instance.store, application.id, () => ({ settings }));
  alice = await home.connect(application, { address: ALICE });
  delivery = startDeliveryDuty(home.instance, new Registry());
});
after(async () => {
  await delivery.stop();
  await home.close();
  await client.close();
  await sandbox.close();
});
afterEach(() => {
  sandbox.faults.clear();
  Object.assign(sandbox.limits, { ...exchangeLimits, messagesPerMinute: 10_000 });
});

let count = 0;
const freshId = (): string => `letter-${++count}@contoso.test`;

interface Sent {
  readonly message: OutboxMessage;
  readonly raw: Buffer;
}

async function accept(id: string, text: string, ...to: readonly string[]): Promise<Sent> {
  const raw = Buffer.from(
    `From: ${ALICE}\r\nTo: ${to.slice(0, 3).join(', ')}\r\nMessage-ID: <${id}>\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\nSubject: ${text}\r\n\r\n${text}\r\n`,
  );
  const { message } = await home.instance.outbox.accept(
    {
      mailbox: alice,
      envelope: { from: ALICE, recipients: to.map((address) => ({ address })) },
      source: 'smtp',
      principal: 'apw_1',
    },
    [raw],
  );
  return { message, raw };
}

const FINAL = new Set(['sent', 'failed', 'cancelled']);

/** Time passes until all is done that can be. */
async function done({ message }: Sent): Promise<OutboxMessage> {
  for (let step = 0; step < 3000; step++) {
    const found = (await home.instance.outbox.find(message.id))!;
    const waiting = await home.instance.outbox.list({ states: ['queued', 'sending'] }, { limit: 1 });
    if (FINAL.has(found.state.type) && waiting.length === 0) return found;
    await delay(10);
    clock.leap(waiting[0]?.state.type === 'sending' ? 500 : 3000);
  }
  throw new Error(`message ${message.id} does not come to an end`);
}

/** How often somebody got a message with this text. */
const arrived = (text: string, address = BOB): number =>
  sandbox.mailStore.find(address)!.inbox.messages.filter(({ raw }) => raw.includes(`\r\n\r\n${text}`)).length;

/** As Thunderbird, Apple Mail and mutt do: the program saves the message as it wrote it. */
const saveOwnCopy = ({ raw }: Sent): void => void sandbox.mailStore.find(ALICE)!.sent.add(raw, clock.now(), ['\\Seen']);

const events = ({ message }: Sent) => home.instance.outbox.events({ messageId: message.id, limit: 100 });
const saysMayBeTwice = async (sent: Sent): Promise<boolean> =>
  (await events(sent)).some(
    ({ data, type }) => type === 'deferred' && data['mayBeDuplicate'] === true && !('probablyNotSent' in data),
  );

const reportsAbout = (address: string): number =>
  sandbox.mailStore
    .find(ALICE)!
    .inbox.messages.filter(
      ({ raw }) => raw.includes(`Final-Recipient: rfc822; ${address}`) && raw.includes('Action: failed'),
    ).length;

test('L1: a message with the Message-ID of an earlier one, lost on the way, is sent again until it arrives', async () => {
  const id = freshId();
  await done(await accept(id, 'first scan', BOB));
  sandbox.faults.set('smtp-message-lost', { times: 1 });
  const second = await accept(id, 'second scan', BOB);
  assert.equal((await done(second)).state.type, 'sent');
  assert.equal(arrived('second scan'), 1);
  assert.equal(await saysMayBeTwice(second), false, 'the copy of the first one carries another mark');
});

test('L2: the copy that the program saved itself proves nothing', async () => {
  sandbox.faults.set('smtp-lost-beside-copy', { times: 1 });
  const letter = await accept(freshId(), 'saved by the program', BOB);
  saveOwnCopy(letter);
  assert.equal((await done(letter)).state.type, 'sent');
  assert.equal(arrived('saved by the program'), 1);
});

test('L2: with its own copy beside it the one of the provider is still found', async () => {
  sandbox.faults.set('smtp-reply-lost', { times: 1 });
  const letter = await accept(freshId(), 'taken beside a copy', BOB);
  saveOwnCopy(letter);
  assert.equal((await done(letter)).state.type, 'sent');
  assert.equal(arrived('taken beside a copy'), 1);
  assert.equal((await events(letter)).find(({ type }) => type === 'sent')?.data['proof'], 'mark');
});

test('L3: the same message handed over once for each recipient: each is proven by itself', async () => {
  const id = freshId();
  await done(await accept(id, 'to each', BOB));
  sandbox.faults.set('smtp-message-lost', { times: 1 });
  assert.equal((await done(await accept(id, 'to each', CAROL))).state.type, 'sent');
  assert.deepEqual([arrived('to each', BOB), arrived('to each', CAROL)], [1, 1]);
});

test('L4: a Message-ID that contains another one is another one', async () => {
  const id = freshId();
  await done(await accept(`1${id}`, 'longer id', BOB));
  sandbox.faults.set('smtp-message-lost', { times: 1 });
  assert.equal((await done(await accept(id, 'shorter id', BOB))).state.type, 'sent');
  assert.equal(arrived('shorter id'), 1);
});

test('L5: one message, 501 recipients, the provider takes 500 at a time: the second part is lost and sent again', async () => {
  const to = Array.from({ length: 501 }, (_, at) => `person${at}@elsewhere.test`);
  sandbox.faults.set('smtp-lost-beside-copy', { times: 1 });
  const found = await done(await accept(freshId(), 'to very many', ...to));
  assert.equal(found.state.type, 'sent');
  const got = sandbox.mailStore.outside
    .filter(({ raw }) => raw.includes('\r\n\r\nto very many'))
    .flatMap((one) => one.to);
  assert.deepEqual(got.toSorted(), to.toSorted(), 'everybody once');
});

test('L5: the end of the first part is not known, and was lost: nobody of it is left out', async () => {
  sandbox.limits.recipientsPerMessage = 3;
  const to = Array.from({ length: 7 }, (_, at) => `reader${at}@elsewhere.test`);
  sandbox.faults.set('smtp-message-lost', { times: 2 });
  await done(await accept(freshId(), 'in three parts', ...to));
  const got = sandbox.mailStore.outside
    .filter(({ raw }) => raw.includes('\r\n\r\nin three parts'))
    .flatMap((one) => one.to);
  assert.deepEqual(got.toSorted(), to, 'everybody once');
});

test('L5: parts that are taken follow each other soon: the provider has refused nothing', async () => {
  sandbox.limits.recipientsPerMessage = 3;
  const to = Array.from({ length: 13 }, (_, at) => `member${at}@elsewhere.test`);
  const sent = await accept(freshId(), 'in five parts', ...to);
  await done(sent);
  const waits = (await events(sent))
    .filter(({ type }) => type === 'deferred')
    .map(({ at, data }) => Date.parse(String(data['nextAt'])) - at);
  assert.equal(waits.length, 4);
  for (const wait of waits) assert.ok(wait < 40_000, `${wait} ms`);
});

test('L6: who was refused at RCPT is refused and reported, also where the end of the message is unknown', async () => {
  const nobody = 'nobody@contoso.test';
  for (const [fault, text] of [
    ['smtp-reply-lost', 'taken for one'],
    ['smtp-message-lost', 'lost for one'],
  ] as const) {
    const before = reportsAbout(nobody);
    sandbox.faults.set(fault, { times: 1 });
    const found = await done(await accept(freshId(), text, BOB, nobody));
    assert.deepEqual(
      found.recipients.map(({ state }) => state),
      ['delivered', 'refused'],
      text,
    );
    assert.match(found.recipients[1]!.reply!, /5\.1\.10/);
    assert.equal(arrived(text), 1);
    assert.equal(reportsAbout(nobody), before + 1, text);
    assert.ok(found.recipients.every((one) => !('attempt' in one)));
  }
});

test('a copy that appears half a minute late is waited for', async () => {
  sandbox.faults.set('sent-copy-late', { times: 1 });
  sandbox.faults.set('smtp-reply-lost', { times: 1 });
  const letter = await accept(freshId(), 'late copy', BOB);
  assert.equal((await done(letter)).state.type, 'sent');
  assert.equal(arrived('late copy'), 1);
  assert.equal(await saysMayBeTwice(letter), false);
});

test('a provider that removes our mark: told by everything else, and said to be probable', async () => {
  // As if no message with a mark had ever been kept.
  const { sent } = sandbox.mailStore.find(ALICE)!;
  sent.remove([...sent.messages]);
  sandbox.faults.set('sent-fields-removed');
  sandbox.faults.set('smtp-reply-lost', { times: 1 });
  const taken = await accept(freshId(), 'stripped and taken', BOB);
  assert.equal((await done(taken)).state.type, 'sent');
  assert.equal(arrived('stripped and taken'), 1);
  const told = (await events(taken)).find(({ type }) => type === 'sent')!;
  assert.equal(told.data['proof'], 'probable');
  assert.match(String(told.data['reply']), /probably/);
  sandbox.faults.set('smtp-lost-beside-copy', { times: 1 });
  const lost = await accept(freshId(), 'stripped and lost', BOB);
  saveOwnCopy(lost);
  assert.equal((await done(lost)).state.type, 'sent');
  assert.equal(arrived('stripped and lost'), 1, 'the copy of the program has no trace of a server');
  assert.equal(await saysMayBeTwice(lost), true);
});

test('Graph alike: a lost request is sent again, a lost answer is not, an own copy proves nothing', async () => {
  await client.tokens(ALICE, 'https://graph.microsoft.com/Mail.Send');
  await editMailbox(home.instance.store, ALICE, () => ({ routes: ['graph'] }));
  for (const [fault, text, own] of [
    ['graph-message-lost', 'graph lost it', true],
    ['graph-reply-lost', 'graph took it', true],
    ['graph-message-lost', 'graph lost it alone', false],
  ] as const) {
    sandbox.faults.set(fault, { times: 1 });
    const letter = await accept(freshId(), text, BOB);
    if (own) saveOwnCopy(letter);
    const found = await done(letter);
    assert.equal(found.state.type, 'sent', text);
    assert.equal(arrived(text), 1, text);
  }
});
