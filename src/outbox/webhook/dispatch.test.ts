/** Webhooks against a real receiver on loopback, with a clock that is moved by hand. */
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { nullLog } from '../../base/log.ts';
import { Secret } from '../../base/secret.ts';
import { newId } from '../../store/id.ts';
import { storeError } from '../../store/errors.ts';
import { openStore } from '../../store/open.ts';
import type { Webhook } from '../../store/types-api.ts';
import type { Store } from '../../store/types.ts';
import { environmentKey } from '../../vault/key-source.ts';
import { openVault } from '../../vault/open.ts';
import type { Vault } from '../../vault/types.ts';
import { startWebhooks, testDelivery } from './dispatch.ts';
import { newWebhookSecret, sealSecrets, type WebhookSecret } from './signature.ts';
import { createApiKey, type NewApiKey, revokeApiKey } from '../../access/api-key.ts';
import type { AuditEntry } from '../../audit/types.ts';

interface Heard {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}
let heard: Heard[];
/** What the receiver answers, one after the other; 204 when there is nothing left. */
let answers: { status: number; headers?: Record<string, string>; body?: string }[];
let receiver: Server;
let url: string;
let clock: ManualClock;
let store: Store;
let vault: Vault;
let running: { close(): Promise<void> } | undefined;

beforeEach(async () => {
  heard = [];
  answers = [];
  receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (piece: Buffer) => void (body += piece.toString()));
    request.on('end', () => {
      heard.push({ headers: request.headers, body });
      const answer = answers.shift() ?? { status: 204 };
      response.writeHead(answer.status, answer.headers).end(answer.body);
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => receiver.once('listening', resolve));
  url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
  clock = new ManualClock();
  store = await openStore('sqlite::memory:', { clock });
  vault = await openVault(store.settings, environmentKey(new Secret(randomBytes(32).toString('base64url'))));
});
afterEach(async () => {
  await running?.close();
  running = undefined;
  await store.close();
  receiver.close();
  receiver.closeAllConnections();
});

async function hook(
  change: Partial<Webhook> = {},
  secrets: readonly WebhookSecret[] = [{ secret: newWebhookSecret(), expiresAt: undefined }],
): Promise<Webhook> {
  const id = newId('whk');
  const row: Webhook = {
    id,
    apiKeyId: undefined,
    url,
    types: [],
    mailboxes: ['*'],
    secrets: await sealSecrets(vault, id, secrets),
    state: { type: 'enabled' },
    cursor: await store.outbox.lastEvent(),
    createdAt: clock.now(),
    ...change,
  };
  await store.webhooks.insert(row);
  return row;
}
const start = (): void => {
  running = startWebhooks({ store, vault, clock, log: nullLog, policy: { allow: ['127.0.0.0/8'] }, random: () => 0 });
};
const happen = (type: 'sent' | 'deferred' | 'accepted', id = 'msg_1', mailbox = 'a@x.test'): Promise<void> =>
  store.outbox.note({ id, mailbox }, [{ at: clock.now(), type, data: { route: 'smtp' } }]);
/** Moves time in small steps until it is so. */
async function until(isSo: () => boolean | Promise<boolean>, what: string, stepMs = 0): Promise<void> {
  for (const end = performance.now() + 10_000; !(await isSo()); await turn()) {
    if (performance.now() > end) throw new Error(`never: ${what}`);
    await clock.advance(stepMs);
  }
}
const log = async (id: string) => store.webhooks.deliveries(id, { limit: 100 });

test('an event arrives once, signed by every live secret', async () => {
  const [old, fresh, dead] = [newWebhookSecret(), newWebhookSecret(), newWebhookSecret()];
  const { id } = await hook({}, [
    { secret: fresh, expiresAt: undefined },
    { secret: old, expiresAt: clock.now() + 1000 },
    { secret: dead, expiresAt: clock.now() },
  ]);
  start();
  await happen('sent');
  await until(async () => (await log(id))[0]?.state === 'delivered', 'delivered');
  assert.equal(heard.length, 1);
  const { headers, body } = heard[0]!;
  const timestamp = String(headers['webhook-timestamp']);
  assert.equal(timestamp, String(Math.floor(clock.now() / 1000)));
  // As the specification says it, with nothing of ours.
  const sign = (secret: Secret): string =>
    `v1,${createHmac('sha256', Buffer.from(secret.reveal().replace('whsec_', ''), 'base64'))
      .update(`${String(headers['webhook-id'])}.${timestamp}.${body}`)
      .digest('base64')}`;
  assert.equal(headers['webhook-signature'], `${sign(fresh)} ${sign(old)}`);
  assert.deepEqual(JSON.parse(body), {
    type: 'message.sent',
    timestamp: new Date(clock.now()).toISOString(),
    data: { route: 'smtp', messageId: 'msg_1', mailbox: 'a@x.test', sequence: 1 },
  });
  assert.equal(headers['postern-ordering-key'], 'msg_1');
});

test('types and mailboxes choose, and what happened before is not told', async () => {
  await happen('sent', 'msg_0');
  const { id } = await hook({ types: ['message.sent'], mailboxes: ['a@x.test'] });
  start();
  await happen('accepted');
  await happen('sent', 'msg_2', 'b@x.test');
  await happen('sent', 'msg_3');
  await until(() => heard.length > 0, 'told');
  await until(async () => (await log(id))[0]?.state === 'delivered', 'delivered');
  assert.deepEqual(
    (await log(id)).map(({ orderingKey }) => orderingKey),
    ['msg_3'],
  );
});

test('a receiver that fails is tried again, in order for each message, until it takes it', async () => {
  answers = [
    { status: 500, body: 'database is down' },
    { status: 302, headers: { location: 'http://127.0.0.1:1/' } },
    { status: 429, headers: { 'retry-after': '120' } },
  ];
  const { id } = await hook();
  await happen('accepted');
  await happen('sent');
  const began = clock.now();
  start();
  const both = async () => (await log(id)).filter(({ state }) => state === 'delivered').length === 2;
  await until(both, 'both delivered', 1000);
  assert.deepEqual(
    heard.map(({ body }) => (JSON.parse(body) as { type: string }).type),
    ['message.accepted', 'message.accepted', 'message.accepted', 'message.accepted', 'message.sent'],
  );
  assert.equal(new Set(heard.slice(0, 4).map(({ headers }) => headers['webhook-id'])).size, 1);
  assert.deepEqual(
    heard.slice(0, 4).map(({ headers }) => headers['postern-attempt']),
    ['1', '2', '3', '4'],
  );
  const first = (await log(id)).at(-1)!;
  assert.deepEqual(
    first.attempts.map(({ status, problem }) => [status, problem]),
    [
      [500, 'database is down'],
      [302, 'redirects are not followed'],
      [429, ''],
      [204, undefined],
    ],
  );
  assert.ok(clock.now() - began >= 120_000, 'Retry-After was heeded');
});

test('after the deadline it is given up, and can be replayed', async () => {
  const { id } = await hook();
  receiver.removeAllListeners('request');
  receiver.on('request', (_, response) => void response.writeHead(503).end());
  const deadline = clock.now() + 3_600_000;
  await store.webhooks.add(id, { ...testDelivery(id, clock.now()), deadline });
  start();
  await until(async () => (await log(id))[0]?.state === 'failed', 'given up', 60_000);
  const tries = (await log(id))[0]!.attempts.length;
  assert.ok(tries > 5 && tries < 15, `${tries} tries in an hour`);
  receiver.removeAllListeners('request');
  receiver.on('request', (_, response) => void response.writeHead(200).end());
  const times = { now: clock.now(), deadline: clock.now() + 1_000_000 };
  assert.equal(await store.webhooks.replay(id, { state: 'failed', since: 0 }, times), 1);
  await until(async () => (await log(id))[0]?.state === 'delivered', 'delivered', 1000);
  assert.equal((await log(id))[0]!.attempts.length, tries + 1);
});

test('410 Gone ends it; a receiver that is down holds up nobody else', async () => {
  const gone = await hook();
  answers = [{ status: 410 }];
  start();
  await happen('sent');
  await until(async () => (await store.webhooks.find(gone.id))?.state.type === 'disabled', 'disabled');
  const closed = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => closed.once('listening', resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const down = await hook({ url: `http://127.0.0.1:${port}/` });
  const fine = await hook();
  for (let n = 0; n < 30; n++) await happen('sent', `msg_${n}`);
  await until(async () => (await log(fine.id)).filter((one) => one.state === 'delivered').length === 30, 'the other');
  const waiting = await log(down.id);
  assert.ok(waiting.every(({ state }) => state === 'pending'));
  assert.ok(waiting.reduce((sum, { attempts }) => sum + attempts.length, 0) <= 8, 'it is not flooded');
  assert.match(waiting.find(({ attempts }) => attempts.length > 0)!.attempts[0]!.problem!, /ECONNREFUSED/);
});

test('A38: a webhook ends with its API key, and tells only of mailboxes that key opens', async () => {
  const audited: AuditEntry[] = [];
  const audit = {
    record: (entry: AuditEntry) => Promise.resolve(void audited.push(entry)),
    note: (entry: AuditEntry) => void audited.push(entry),
    along: <T>(_: AuditEntry, work: () => Promise<T>): Promise<T> => work(),
    ready: () => Promise.resolve(),
    flush: () => Promise.resolve(),
  };
  const deps = { store, vault, clock, audit };
  const made = (change: Partial<NewApiKey>) =>
    createApiKey(deps, { label: 'x', actions: ['events:read'], mailboxes: ['a@x.test'], networks: [], ...change });
  const [one, expiring, blind] = [
    await made({}),
    await made({ expiresAt: clock.now() + 60_000 }),
    await made({ actions: ['webhooks:write'] }),
  ];
  const hooks = [];
  for (const { row } of [one, expiring, blind]) hooks.push(await hook({ apiKeyId: row.id, mailboxes: ['*'] }));
  const [first, second, third] = hooks.map(({ id }) => id) as [string, string, string];
  running = startWebhooks({
    store,
    vault,
    clock,
    log: nullLog,
    audit,
    policy: { allow: ['127.0.0.0/8'] },
    random: () => 0,
  });
  const stateOf = async (id: string) => (await store.webhooks.find(id))!.state;
  await until(async () => (await stateOf(third)).type === 'disabled', 'a key that may not read events tells none');
  await happen('sent', 'msg_a', 'a@x.test');
  await happen('sent', 'msg_b', 'b@x.test');
  const told = async (id: string) => (await log(id)).map(({ orderingKey }) => orderingKey);
  await until(async () => (await told(first)).length > 0 && (await told(second)).length > 0, 'told');
  assert.deepEqual([await told(first), await told(second), await told(third)], [['msg_a'], ['msg_a'], []]);
  await revokeApiKey(deps, one.row.id);
  await until(async () => (await stateOf(first)).type === 'disabled', 'disabled with its key');
  await until(async () => (await stateOf(second)).type === 'disabled', 'disabled when its key expires', 1000);
  await happen('sent', 'msg_c', 'a@x.test');
  await turn();
  assert.deepEqual([await told(first), await told(second)], [['msg_a'], ['msg_a']]);
  const disabled = audited.filter(({ data }) => data!['what'] === 'webhook.disabled');
  assert.deepEqual(
    disabled.map(({ data }) => data!['id']),
    [third, first, second],
  );
});

test('a webhook whose deliveries cannot be tried rests: no more of them are taken up at once', async (t) => {
  await hook();
  for (let n = 0; n < 12; n++) await happen('sent', `msg_${n}`);
  const opened = t.mock.method(vault, 'open', () => Promise.reject(new Error('the key is away')));
  start();
  await until(() => opened.mock.callCount() >= 8, 'tried');
  for (let n = 0; n < 100; n++) await turn();
  assert.equal(opened.mock.callCount(), 8);
  await until(() => opened.mock.callCount() > 8, 'tried again', 1000);
});

test('a test is one delivery, and private addresses are refused at every try', async () => {
  const { id } = await hook({ url: 'https://127.0.0.2.test/' });
  running = startWebhooks({
    store,
    vault,
    clock,
    log: nullLog,
    policy: { allow: [] },
    resolve: async () => [{ address: '127.0.0.2', family: 4 }],
  });
  await store.webhooks.add(id, testDelivery(id, clock.now()));
  await until(async () => (await log(id))[0]!.attempts.length > 0, 'tried');
  assert.match((await log(id))[0]!.attempts[0]!.problem!, /loopback/);
});

test('K31: what a receiver said outlasts a database that is away for longer than the claim; it hears of the event once', async (t) => {
  const { id } = await hook();
  const away = t.mock.method(store.webhooks, 'settle', () => Promise.reject(storeError('store.unavailable', 'away')));
  start();
  await happen('sent');
  await until(() => away.mock.callCount() > 2, 'the database does not take it', 500);
  await until(() => away.mock.callCount() > 60, 'longer than the claim', 2_000);
  away.mock.restore();
  await until(async () => (await log(id))[0]?.state === 'delivered', 'delivered', 500);
  assert.equal(heard.length, 1);
});
