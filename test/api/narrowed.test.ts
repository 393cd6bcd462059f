/** What a key, a webhook or an open request hears of a mailbox that was taken from it. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { withdrawMailbox } from '../../src/access/withdraw.ts';
import { findGiven } from '../../src/admin/find.ts';
import { nullLog } from '../../src/base/log.ts';
import { startWebhooks } from '../../src/outbox/webhook/dispatch.ts';
import { ALICE, type ApiBed, type ApiClient, openApiBed, SHOP } from '../bed/api.ts';

let bed: ApiBed;
before(async () => {
  bed = await openApiBed();
});
after(() => bed.stop());

const URL_OF = 'https://127.0.0.1:1/x';
const letter = (from: string) => ({ from, to: 'bob@x.test', subject: 'Hello', text: 'Hi' });

async function addMailbox(address: string): Promise<void> {
  const { store, clock } = bed;
  const createdAt = clock.now();
  await store.mailboxes.insert({ address, grantId: 'grt_1', access: 'own', protocols: [], settings: {}, createdAt });
}

async function removeMailbox(address: string): Promise<void> {
  await bed.store.mailboxes.remove(address);
  const audit = {
    record: () => Promise.resolve(),
    note: () => undefined,
    along: <T>(_: unknown, work: () => Promise<T>): Promise<T> => work(),
    ready: () => Promise.resolve(),
    flush: () => Promise.resolve(),
  };
  await withdrawMailbox({ store: bed.store, clock: bed.clock, audit }, address);
}

/** Bounded by what a busy machine needs. */
async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = performance.now() + 10_000; !(await isSo()); await turn())
    if (performance.now() > end) throw new Error(`never: ${what}`);
}

/** Lets the dispatcher put in line, and try, all there is. */
async function dispatched(isSo: () => Promise<boolean>): Promise<void> {
  const { store, vault, clock } = bed;
  const policy = { allow: ['127.0.0.0/8'] };
  const running = startWebhooks({ store, vault, clock, log: nullLog, policy });
  try {
    await until(isSo, 'the deliveries are as they should be');
  } finally {
    await running.close();
  }
}

const deliveries = async (client: ApiClient, id: string) =>
  (await client.ok('listWebhookDeliveries', { params: { id } })).items as {
    id: string;
    payload: string;
    state: string;
    attempts: { problem: string }[];
  }[];

test('A54: what was made for a mailbox that was removed is seen by keys of all mailboxes alone', async () => {
  const BOB = 'bob@contoso.test';
  await addMailbox(BOB);
  const [full, bob, alice] = [
    await bed.key(),
    await bed.key({ mailboxes: [BOB] }),
    await bed.key({ mailboxes: [ALICE] }),
  ];
  const { id } = await bob.ok('createWebhook', { json: { url: URL_OF, mailboxes: [BOB] } });
  await bob.ok('sendMessage', { json: letter(BOB) });
  await dispatched(async () => (await deliveries(full, id))[0]?.attempts.length === 1);
  await removeMailbox(BOB);
  assert.ok(!JSON.stringify(await alice.ok('listWebhooks')).includes(id));
  for (const [operation, json] of [
    ['getWebhook'],
    ['listWebhookDeliveries'],
    ['updateWebhook', { enabled: true, mailboxes: [ALICE], url: URL_OF }],
    ['rotateWebhookSecret', {}],
    ['replayWebhook', { since: '2020-01-01T00:00:00Z' }],
    ['testWebhook'],
    ['deleteWebhook'],
  ] as const)
    await alice.fails(operation, { params: { id }, ...(json ? { json } : {}) }, 404, 'api.not-found');
  assert.equal((await full.ok('getWebhook', { params: { id } })).enabled, false);
  // The keys and app passwords that named it alone, asked for in the same way.
  const actor = {
    type: 'api-key',
    key: { id: alice.id, actions: ['*'], mailboxes: [ALICE] },
    requestId: '',
    remoteAddress: '',
  } as const;
  const keys = await bed.store.apiKeys.list();
  assert.deepEqual(keys.find((key) => key.id === bob.id)?.mailboxes, []);
  assert.throws(() => findGiven(actor, keys, bob.id, { kind: 'API key', list: 'x' }), { code: 'admin.not-found' });
  assert.equal(findGiven({ type: 'postern' }, keys, bob.id, { kind: 'API key', list: 'x' }).id, bob.id);
  // Put to use again for another mailbox, it sends nothing of the one that was removed.
  await full.ok('updateWebhook', { params: { id }, json: { enabled: true, mailboxes: [ALICE] } });
  assert.deepEqual(await deliveries(alice, id), []);
  await bed.clock.advance(3_600_000);
  await dispatched(async () => (await deliveries(full, id))[0]?.state === 'failed');
  const [left] = await deliveries(full, id);
  assert.match(left!.attempts.at(-1)!.problem, /^not sent: .* does not open bob@contoso\.test any more$/);
});

test('A55: deliveries are judged by the mailbox of their event: shown, replayed, still pending', async () => {
  const [full, alice] = [await bed.key(), await bed.key({ mailboxes: [ALICE] })];
  const { id } = await full.ok('createWebhook', { json: { url: URL_OF } });
  await full.ok('sendMessage', { json: letter(SHOP) });
  await full.ok('sendMessage', { json: letter(ALICE) });
  await full.ok('testWebhook', { params: { id } });
  await dispatched(async () => (await deliveries(full, id)).filter((one) => one.attempts.length === 1).length === 3);
  await full.ok('updateWebhook', { params: { id }, json: { mailboxes: [ALICE] } });
  const seen = await deliveries(alice, id);
  assert.equal(seen.length, 2);
  assert.ok(seen.every(({ payload }) => !payload.includes(SHOP)));
  const all = await deliveries(full, id);
  const shops = all.find(({ payload }) => payload.includes(SHOP))!;
  const params = { id, delivery: shops.id };
  await alice.fails('getWebhookDelivery', { params }, 404, 'api.not-found');
  await alice.fails('replayWebhookDelivery', { params }, 404, 'api.not-found');
  // Pending still, and due again: neither the new place nor the old one gets it.
  await bed.clock.advance(3_600_000);
  await dispatched(async () =>
    (await deliveries(full, id)).some((one) => one.id === shops.id && one.state === 'failed'),
  );
  const after = (await deliveries(full, id)).find((one) => one.id === shops.id)!;
  assert.match(after.attempts.at(-1)!.problem, /^not sent: .* does not open shop@contoso\.test any more$/);
  await full.fails('replayWebhookDelivery', { params }, 400, 'api.request');
  const since = '2020-01-01T00:00:00Z';
  const replayed = await alice.ok('replayWebhook', { params: { id }, json: { since, state: 'failed' } });
  assert.equal(replayed.count, 0);
  // Told of a whole domain, it may be sent again.
  await full.ok('updateWebhook', { params: { id }, json: { mailboxes: ['*'] } });
  assert.equal((await full.ok('replayWebhook', { params: { id }, json: { since } })).count, 1);
});

test('A55: a key without events:read is shown no event by sending it again', async () => {
  const full = await bed.key();
  const { id } = await full.ok('createWebhook', { json: { url: URL_OF } });
  await full.ok('testWebhook', { params: { id } });
  const [one] = await deliveries(full, id);
  const blind = await bed.key({ actions: ['webhooks:write'] });
  const params = { id, delivery: one!.id };
  await blind.fails('replayWebhookDelivery', { params }, 403, 'api.forbidden');
});

test('A56: a key that lost a mailbox hears no more of it: event streams and long polls', async () => {
  const SALES = 'sales@contoso.test';
  await addMailbox(SALES);
  const full = await bed.key();
  const two = await bed.key({ actions: ['events:read'], mailboxes: [ALICE, SALES] });
  const { id } = await full.ok('sendMessage', { json: { ...letter(SALES), scheduledAt: '2027-11-21T09:30:00Z' } });
  const over = new AbortController();
  const listen = async (query: string, accept: string): Promise<Response> =>
    bed.api.fetch(
      new Request(`http://localhost/v1/events?${query}`, {
        headers: { authorization: `Bearer ${two.key.reveal()}`, accept },
        signal: over.signal,
      }),
      { address: '127.0.0.1', isPrivate: true },
      Readable.from([]),
      () => {},
    );
  let [heard, ofSales] = ['', ''];
  const read = async (response: Response, piece: (text: string) => void): Promise<void> => {
    for await (const octets of response.body!) piece(Buffer.from(octets as Uint8Array).toString());
  };
  const stream = read(await listen('after=latest', 'text/event-stream'), (text) => (heard += text));
  const named = read(await listen(`after=latest&mailbox=${SALES}`, 'text/event-stream'), (text) => (ofSales += text));
  const poll = listen('after=latest&wait=60', 'application/json');
  const namedPoll = listen(`after=latest&wait=60&mailbox=${SALES}`, 'application/json');
  await until(() => heard !== '' && ofSales !== '', 'both streams are open');
  await removeMailbox(SALES);
  await full.ok('holdMessage', { params: { id }, json: { reason: 'after the removal' } });
  await full.ok('sendMessage', { json: letter(ALICE) });
  await until(() => heard.includes(ALICE), 'the stream goes on with what is left');
  const answer = await poll;
  assert.equal(answer.status, 200);
  const { items } = (await answer.json()) as { items: { mailbox: string }[] };
  assert.deepEqual([...new Set(items.map(({ mailbox }) => mailbox))], [ALICE]);
  assert.equal((await namedPoll).status, 401);
  await named;
  assert.ok(!`${heard}${ofSales}`.includes(SALES), heard);
  // Its request is over: nobody reads on. (The signal of a Request may be collected with it, so its end is not waited for.)
  stream.catch(() => undefined);
  over.abort();
});
