/** The outbox delivers to the sandbox's tenant while the tenant misbehaves: each trouble ends as documented, and the story says how. */
import assert from 'node:assert/strict';
import { isError } from '../../src/base/error.ts';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { type FaultId, type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { listRests } from '../../src/outbox/rest.ts';
import { type RunningDelivery, startDeliveryDuty } from '../../src/server/delivery.ts';
import type { Mailbox } from '../../src/store/types.ts';
import type { OutboxMessage } from '../../src/store/types-outbox.ts';
import { LeapClock } from '../bed/leap-clock.ts';
import { TenantClient } from '../bed/tenant-client.ts';
import { openTenantHome, type TenantHome } from '../bed/tenant-home.ts';
import { editApplication, editMailbox } from '../../src/store/edit.ts';

const ALICE = 'alice@contoso.test';
const BOB = 'bob@contoso.test';
const GRAPH = 'https://graph.microsoft.com/Mail.Send';

const clock = new LeapClock(Date.now());
let sandbox: Sandbox;
let home: TenantHome;
let client: TenantClient;
let delivery: RunningDelivery;
let alice: Mailbox;
before(async () => {
  sandbox = await startSandbox({ clock });
  client = new TenantClient(sandbox);
  home = await openTenantHome(sandbox, { clock });
  const application = await home.application();
  const settings = { ...application.settings, graph: sandbox.graph };
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
afterEach(async () => {
  sandbox.faults.clear();
  // Connections that are kept for the next message end, so that every test signs in.
  clock.leap(25_000);
  await delay(20);
});

let count = 0;
async function accept(to = BOB, extra: { readonly notify?: readonly string[] } = {}): Promise<OutboxMessage> {
  const id = `<letter-${++count}@contoso.test>`;
  const { message } = await home.instance.outbox.accept(
    {
      mailbox: alice,
      envelope: { from: ALICE, recipients: [{ address: to, ...extra }] },
      source: 'smtp',
      principal: 'apw_1',
    },
    [Buffer.from(`From: ${ALICE}\r\nTo: ${to}\r\nMessage-ID: ${id}\r\nSubject: letter ${count}\r\n\r\nhi\r\n`)],
  );
  return message;
}

const FINAL = new Set(['sent', 'failed', 'cancelled']);

/** Time passes until all is done that can be. */
async function done(message: OutboxMessage): Promise<OutboxMessage> {
  for (let step = 0; step < 2000; step++) {
    const found = (await home.instance.outbox.find(message.id))!;
    const waiting = await home.instance.outbox.list({ states: ['queued', 'sending'] }, { limit: 1 });
    if (FINAL.has(found.state.type) && waiting.length === 0) return found;
    await delay(20);
    clock.leap(waiting[0]?.state.type === 'sending' ? 500 : 3000);
  }
  throw new Error(`message ${message.id} does not come to an end`);
}

const arrivals = ({ messageId }: OutboxMessage, folder: 'inbox' | 'sent' = 'inbox', address = BOB): number =>
  sandbox.mailStore.find(address)![folder].messages.filter(({ raw }) => raw.includes(`Message-ID: ${messageId}`))
    .length;

async function story({ id }: OutboxMessage): Promise<readonly string[]> {
  const events = await home.instance.outbox.events({ messageId: id, limit: 100 });
  return events.map(({ data, type }) =>
    type === 'attempted' ? `${String(data['route'])} ${String(data['outcome'])}` : type,
  );
}

const reports = (): readonly string[] =>
  sandbox.mailStore
    .find(ALICE)!
    .inbox.messages.map(({ raw }) => raw.toString())
    .filter((raw) => /report-type=delivery-status/.test(raw));

test('a letter goes out, and one copy is kept', async () => {
  const message = await done(await accept());
  assert.equal(message.state.type, 'sent');
  assert.match(message.recipients[0]!.reply!, /^250 2\.0\.0 OK/);
  assert.deepEqual([arrivals(message), arrivals(message, 'sent', ALICE)], [1, 1]);
  assert.deepEqual(await story(message), ['accepted', 'smtp sent', 'sent']);
});

for (const [fault, words] of [
  ['smtp-not-active', /4\.3\.2 Service not active/],
  ['smtp-concurrent-limit', /4\.3\.2 Concurrent connections limit exceeded/],
  ['smtp-thread-limit', /4\.3\.2 .*thread limit/],
  ['smtp-auth-temporary', /4\.7\.0/],
  ['connection-reset', /./],
] as const satisfies readonly (readonly [FaultId, RegExp])[]) {
  test(`${fault}: later, then sent, once`, async () => {
    sandbox.faults.set(fault, { times: 1, ...(fault === 'connection-reset' ? { place: 'smtp' as const } : {}) });
    const message = await done(await accept());
    assert.equal(message.state.type, 'sent');
    assert.equal(arrivals(message), 1);
    const events = await home.instance.outbox.events({ messageId: message.id, limit: 100 });
    const put = events.find(({ type }) => type === 'deferred');
    assert.match(String(put?.data['reason']), words);
  });
}

test('the reply to the last octet is lost: it is found among the sent ones and not sent again', async () => {
  sandbox.faults.set('smtp-reply-lost', { times: 1 });
  const message = await done(await accept());
  assert.equal(message.state.type, 'sent');
  assert.equal(arrivals(message), 1);
  assert.deepEqual(await story(message), ['accepted', 'smtp sent', 'sent']);
});

test('the connection breaks before the server took it: it is not among the sent ones, and is sent', async () => {
  sandbox.faults.set('smtp-message-lost', { times: 1 });
  const message = await done(await accept());
  assert.equal(message.state.type, 'sent');
  assert.equal(arrivals(message), 1);
});

test('SendAs denied: failed at once, and the sender finds a report with the reason', async () => {
  const before = reports().length;
  sandbox.faults.set('smtp-send-as-denied', { times: 1 });
  const message = await done(await accept());
  assert.ok(message.state.type === 'failed' && message.state.code === 'outbox.refused');
  assert.match(message.state.reason, /SendAsDenied/);
  const report = reports().at(-1)!;
  assert.equal(reports().length, before + 1);
  assert.match(report, /Action: failed\r\nStatus: 5\.2\.252\r\nDiagnostic-Code: smtp; 554 5\.2\.252 SendAsDenied/);
  assert.match(report, new RegExp(`X-Postern-Message: ${message.id}`));
  assert.match(report, /Subject: letter \d+/);
});

// RFC 3461 §4.1
test('whoever wants no report gets none, whoever asked for word of success gets it', async () => {
  const before = reports().length;
  sandbox.faults.set('smtp-recipient-unknown', { times: 1 });
  await done(await accept(BOB, { notify: ['NEVER'] }));
  assert.equal(reports().length, before);
  await editMailbox(home.instance.store, ALICE, () => ({ routes: ['graph'] }));
  await client.tokens(ALICE, GRAPH);
  const message = await done(await accept(BOB, { notify: ['SUCCESS'] }));
  await editMailbox(home.instance.store, ALICE, () => ({}));
  assert.equal(message.state.type, 'sent');
  assert.equal(reports().length, before + 1);
  assert.match(reports().at(-1)!, /Action: relayed\r\nStatus: 2\./);
});

test('SMTP AUTH is switched off: Graph takes it, and the story says why', async () => {
  await client.tokens(ALICE, GRAPH);
  sandbox.faults.set('smtp-auth-disabled');
  const message = await done(await accept());
  assert.equal(message.state.type, 'sent');
  assert.equal(arrivals(message), 1);
  assert.deepEqual(await story(message), ['accepted', 'smtp closed', 'graph sent', 'sent']);
  const [, first] = await home.instance.outbox.events({ messageId: message.id, limit: 100 });
  assert.match(String(first!.data['reply']), /SmtpClientAuthentication is disabled for the Tenant/);
});

test('the mailbox is over its rate: the pause is kept, nothing is lost', async () => {
  sandbox.faults.set('smtp-submission-rate', { times: 2 });
  const messages = [await accept(), await accept(), await accept()];
  for (const message of messages) {
    assert.equal((await done(message)).state.type, 'sent');
    assert.equal(arrivals(message), 1);
  }
});

test('thirty minutes without any server: tried again, then sent', async () => {
  sandbox.faults.set('connection-refused');
  const message = await accept();
  const begun = clock.now();
  while (clock.now() - begun < 30 * 60_000) {
    await delay(10);
    clock.leap(10_000);
  }
  // A try may be under way at this moment.
  assert.match((await home.instance.outbox.find(message.id))!.state.type, /^(?:queued|sending)$/);
  sandbox.faults.clear();
  assert.equal((await done(message)).state.type, 'sent');
  assert.equal(arrivals(message), 1);
});

for (const [fault, row] of [
  ['smtp-sender-limit', 'smtp.daily-quota'],
  ['smtp-mailbox-full', 'smtp.mailbox-full'],
  ['smtp-sender-blocked', 'smtp.sender-blocked'],
  ['smtp-tenant-blocked', 'smtp.tenant-blocked'],
  ['smtp-domain-unregistered', 'smtp.domain-unregistered'],
] as const satisfies readonly (readonly [FaultId, string])[])
  test(`L8: ${fault} with 40 messages waiting: none fails, none is lost, few are tried`, async () => {
    const { store } = home.instance;
    // What rested because of the tests before is tried, and does so no longer.
    clock.leap(61 * 60_000);
    assert.equal((await done(await accept())).state.type, 'sent');
    const before = reports().length;
    const found = async (): Promise<boolean> => (await listRests(store.outbox)).some((rest) => rest.row === row);
    sandbox.faults.set(fault);
    const messages: OutboxMessage[] = [];
    for (let at = 0; at < 40; at++) messages.push(await accept());
    for (let step = 0; step < 400 && !(await found()); step++) {
      await delay(10);
      clock.leap(500);
    }
    assert.ok(await found());
    for (let step = 0; step < 40; step++) {
      await delay(5);
      clock.leap(30_000);
    }
    const waiting = await home.instance.outbox.list({ states: ['queued', 'sending'] }, { limit: 100 });
    assert.equal(waiting.length, 40);
    const tries = waiting.reduce((sum, { attempts }) => sum + attempts, 0);
    assert.ok(tries <= 10, `${tries} tries in twenty minutes`);
    sandbox.faults.clear();
    // Whichever of them is not just being tried.
    const asked = waiting.find(({ state }) => state.type === 'queued')!;
    await home.instance.outbox.retry(asked.id, 'me').catch((error: unknown) => {
      if (!isError(error) || error.code !== 'outbox.too-late') throw error;
    });
    for (const message of messages) assert.equal((await done(message)).state.type, 'sent');
    const arrived = (): number => messages.reduce((sum, message) => sum + arrivals(message), 0);
    // What goes beyond thirty a minute the tenant accepts and hands on later.
    for (let step = 0; step < 10 && arrived() < 40; step++) {
      clock.leap(30_000);
      await delay(5);
    }
    assert.equal(arrived(), 40);
    assert.deepEqual([await found(), reports().length], [false, before]);
  });

test('larger than the provider takes: refused before it is sent, and the sender hears why', async (t) => {
  const { messageOctets } = sandbox.limits;
  sandbox.limits.messageOctets = 1_000_000;
  t.after(() => void (sandbox.limits.messageOctets = messageOctets));
  const before = reports().length;
  const { message } = await home.instance.outbox.accept(
    { mailbox: alice, envelope: { from: ALICE, recipients: [{ address: BOB }] }, source: 'smtp', principal: 'apw_1' },
    (function* () {
      yield Buffer.from(`From: ${ALICE}\r\nTo: ${BOB}\r\nSubject: huge\r\n\r\n`);
      const line = Buffer.from(`${'x'.repeat(998)}\r\n`.repeat(100));
      for (let octets = 0; octets < sandbox.limits.messageOctets; octets += line.length) yield line;
    })(),
  );
  const found = await done(message);
  assert.ok(found.state.type === 'failed', JSON.stringify(found.state));
  assert.match(found.state.reason, /5\.3\.4/);
  assert.equal(reports().length, before + 1);
});

test('the consent is revoked: mail waits without hammering, and goes out after a new consent', async () => {
  const { store } = home.instance;
  sandbox.revokeRefreshTokens(ALICE);
  clock.leap(2 * 3_600_000);
  const message = await accept();
  const find = async () => (await home.instance.outbox.find(message.id))!;
  const resting = async () =>
    (await listRests(store.outbox)).find(({ scope, about }) => scope === 'mailbox' && about === ALICE);
  let rest = await resting();
  let minutes = 0;
  // Ten minutes at least; on a busy machine more of them pass until a second try has been made and written down.
  for (let step = 1; step <= 3000; step++) {
    await delay(10);
    clock.leap(10_000);
    minutes = step / 6;
    rest = await resting();
    if (minutes >= 10 && rest && rest.tries >= 2) break;
  }
  // The message met it once; after that it is the mailbox that is tried, for all its mail.
  assert.ok(rest && rest.tries >= 2 && rest.tries <= minutes, `${rest?.tries} tries in ${minutes} minutes`);
  const waiting = await find();
  assert.ok(['queued', 'sending'].includes(waiting.state.type) && waiting.attempts <= rest.tries);
  const events = await home.instance.outbox.events({ messageId: message.id, limit: 100 });
  // The first may be a connection whose set-up took ten seconds of this clock, which runs a thousand times too fast.
  assert.match(
    String(events.findLast(({ type }) => type === 'deferred')?.data['code']),
    /needs-consent|consent-needed/,
  );
  const grant = (await store.grants.find(alice.grantId))!;
  const application = (await store.applications.find(grant.applicationId))!;
  await store.mailboxes.remove(ALICE);
  alice = await home.connect(application, { address: ALICE });
  assert.equal((await done(message)).state.type, 'sent');
  assert.equal(arrivals(message), 1);
});
