/** Who may do what with the API, and what those hear who may not. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { perform } from '../../src/admin/act.ts';
import { revokeApiKey } from '../../src/admin/api-keys.ts';
import type { Context } from '../../src/cli/context.ts';
import { sayWaiting } from '../../src/cli/waiting-mail.ts';
import { ALICE, type ApiBed, type Call, openApiBed, problem, SHOP } from '../bed/api.ts';

let bed: ApiBed;
before(async () => {
  bed = await openApiBed();
});
after(() => bed.stop());

const hello = { from: SHOP, to: 'bob@x.test', subject: 'Hello', text: 'Hi Bob' };
const ask: ApiBed['ask'] = (path, init, peer) => bed.ask(path, init, peer);

/** What operations with a body need to get as far as being refused. */
const BODIES: Readonly<Record<string, Call>> = {
  sendMessage: { json: hello },
  sendMerge: { json: { from: SHOP, template: { name: 'a' }, merge: [{ to: 'a@x.test' }] } },
  editMessage: { json: {} },
  holdMessage: { json: { reason: 'x' } },
  createUpload: { query: { filename: 'a' }, octets: { type: 'a/b', body: 'x' } },
  holdMailbox: { json: { reason: 'x' } },
  putTemplate: { json: { subject: 's', text: 't' } },
  previewTemplate: { json: { subject: 's', text: 't' } },
  previewStoredTemplate: { json: {} },
  addSuppressions: { json: { items: [{ address: 'a@x.test' }] } },
  createWebhook: { json: { url: 'https://x.test/' } },
  updateWebhook: { json: {} },
  rotateWebhookSecret: { json: {} },
  replayWebhook: { json: { since: '2026-01-01T00:00:00Z' } },
};
const operations = () =>
  Object.values(bed.document.paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
const params = { id: 'id', address: ALICE, name: 'name', delivery: 'id' };
const paramsOf = (path: string): Record<string, string> =>
  Object.fromEntries([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => [name!, params[name as keyof typeof params]]));
const callOf = (operationId: string): Call => {
  const path = Object.entries(bed.document.paths).find(([, methods]) =>
    Object.values(methods).some((one) => one.operationId === operationId),
  )![0];
  return { ...BODIES[operationId], params: paramsOf(path) };
};

test('every operation is refused to a key that allows something else', async () => {
  const client = await bed.key({ actions: ['metrics:read'] });
  for (const operationId of operations()) await client.fails(operationId, callOf(operationId), 403, 'api.forbidden');
});

test('every operation is refused without a key, with a wrong, an expired or a revoked one', async () => {
  const paths = Object.entries(bed.document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => [method.toUpperCase(), path.replace(/\{\w+\}/g, 'x')] as const),
  );
  for (const [method, path] of paths) {
    const response = await ask(path, { method });
    assert.equal(response.status, 401, `${method} ${path}`);
    assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer/);
    assert.equal((await problem(response)).code, 'api.key');
  }
  const { key } = await bed.key({ expiresAt: bed.clock.now() + 1 });
  await bed.clock.advance(1);
  for (const authorization of [`Bearer ${key.reveal()}`, 'Bearer x', 'Basic eDp5', `Bearer  `, key.reveal()]) {
    const response = await ask('/v1/messages', { headers: { authorization } });
    assert.equal(response.status, 401);
    assert.ok(!(await response.text()).includes(key.reveal()));
  }
  const inQuery = await ask(`/v1/messages?access_token=${key.reveal()}`);
  assert.equal(inQuery.status, 401, 'keys in addresses end up in logs');
  const refused = bed.audited.filter(({ type }) => type === 'api.refused');
  assert.ok(refused.length > 30 && refused.every(({ sessionId }) => sessionId?.startsWith('req_')));
  assert.ok(refused.some(({ data }) => data?.['reason'] === 'expired'));
});

test('a key sees the mailboxes it opens and nothing of the others', async () => {
  const all = await bed.key();
  const mine = await bed.key({ mailboxes: [ALICE] });
  const { id } = await all.ok('sendMessage', { json: hello });
  const own = await mine.ok('sendMessage', { json: { ...hello, from: ALICE } });
  for (const operationId of ['getMessage', 'listMessageEvents', 'getMessageBody', 'cancelMessage', 'retryMessage'])
    await mine.fails(operationId, { params: { id } }, 404, 'outbox.not-found');
  await mine.fails('editMessage', { params: { id }, json: {} }, 404, 'outbox.not-found');
  await mine.fails('holdMessage', { params: { id }, json: { reason: 'x' } }, 404, 'outbox.not-found');
  await mine.fails('sendMessage', { json: hello }, 404, 'api.not-found');
  await mine.fails('sendMessage', { json: { ...hello, mailbox: SHOP } }, 404, 'api.not-found');
  await mine.fails('sendMessage', { json: { ...hello, from: 'info@contoso.test' } }, 404, 'api.not-found');
  await mine.fails('getMailbox', { params: { address: SHOP } }, 404, 'api.not-found');
  await mine.fails('holdMailbox', { params: { address: SHOP }, json: { reason: 'x' } }, 404, 'api.not-found');
  await mine.fails('listEvents', { query: { mailbox: SHOP } }, 404, 'api.not-found');
  const ids = async (operationId: string, name: string): Promise<string[]> =>
    (await mine.ok(operationId)).items.map((one: Record<string, string>) => one[name]);
  assert.deepEqual(await ids('listMessages', 'id'), [own.id]);
  assert.deepEqual(await ids('listEvents', 'messageId'), [own.id]);
  assert.deepEqual(await ids('listMailboxes', 'address'), [ALICE]);
  const hook = await all.ok('createWebhook', { json: { url: 'https://x.test/' } });
  await mine.fails('getWebhook', { params: { id: hook.id } }, 404, 'api.not-found');
  await mine.fails('createWebhook', { json: { url: 'https://x.test/' } }, 403, 'api.forbidden');
  const own2 = await mine.ok('createWebhook', { json: { url: 'https://x.test/', mailboxes: [ALICE] } });
  await mine.fails('updateWebhook', { params: { id: own2.id }, json: { mailboxes: [SHOP] } }, 404, 'api.not-found');
  assert.deepEqual(await ids('listWebhooks', 'id'), [own2.id]);
  await mine.fails('addSuppressions', { json: { items: [{ address: 'a@x.test' }] } }, 403, 'api.forbidden');
  await mine.ok('addSuppressions', { json: { items: [{ address: 'a@x.test', mailbox: ALICE }] } });
  await mine.fails('putTemplate', { params: { name: 'a' }, json: { subject: 's', text: 't' } }, 403, 'api.forbidden');
});

test('a rate is kept, and said with Retry-After', async () => {
  const client = await bed.key({ rate: 2 });
  await client.ok('listMessages');
  await client.ok('listMessages');
  const over = await client.call('listMessages');
  assert.deepEqual([over.status, over.body.code, over.headers.get('retry-after')], [429, 'api.rate', '30']);
  await bed.clock.advance(30_000);
  await client.ok('listMessages');
});

test('many wrong keys from one address are told to wait', async () => {
  const peer = { address: '203.0.113.7', isPrivate: true };
  const statuses: number[] = [];
  for (let n = 0; n < 8; n++)
    statuses.push((await ask('/v1/messages', { headers: { authorization: `Bearer wrong${n}` } }, peer)).status);
  assert.deepEqual([statuses[0], statuses.at(-1)], [401, 429]);
});

test('keys do not travel in plain text beyond this machine', async () => {
  const { key } = await bed.key();
  const headers = { authorization: `Bearer ${key.reveal()}` };
  const response = await ask('/v1/messages', { headers }, { address: '203.0.113.5', isPrivate: false });
  assert.equal(response.status, 403);
  assert.equal((await problem(response)).code, 'api.insecure');
});

test('answers are for programs only, and failures can be looked up', async () => {
  const response = await ask('/v1/nothing', {});
  assert.equal(response.status, 401, 'what there is, is for keys');
  for (const [name, value] of [
    ['cache-control', 'no-store'],
    ['x-content-type-options', 'nosniff'],
    ['x-frame-options', 'DENY'],
    ['referrer-policy', 'no-referrer'],
  ] as const)
    assert.equal(response.headers.get(name), value);
  assert.equal(response.headers.get('access-control-allow-origin'), null);
  const body = await problem(response);
  assert.equal(response.headers.get('request-id'), body.requestId);
  const explained = await ask('/errors/api.key');
  assert.match(await explained.text(), /api\.key: not allowed\nNext: /);
  assert.equal((await ask('/errors/constructor')).status, 404);
  const { key } = await bed.key();
  const nothing = await ask('/v1/nothing', { headers: { authorization: `Bearer ${key.reveal()}` } });
  assert.deepEqual([nothing.status, (await problem(nothing)).code], [404, 'api.not-found']);
  const document = await ask('/openapi.json');
  assert.equal(await document.text(), JSON.stringify(bed.document));
});

test('what fails inside is not told outside', async () => {
  const client = await bed.key();
  const { opened } = bed.store.mailboxes;
  Object.assign(bed.store.mailboxes, { opened: () => Promise.reject(new Error('password=hunter2 at /secret/path')) });
  try {
    const answer = await client.call('sendMessage', { json: hello });
    assert.deepEqual([answer.status, answer.body.code], [500, 'base.bug']);
    assert.doesNotMatch(answer.text, /hunter2|secret\/path/);
  } finally {
    Object.assign(bed.store.mailboxes, { opened });
  }
});

test('A41: whoever has a key that is not valid learns nothing of what it was; the audit log does', async () => {
  const [expired, revoked, elsewhere] = [
    await bed.key({ expiresAt: bed.clock.now() + 1 }),
    await bed.key(),
    await bed.key({ networks: ['192.0.2.0/24'] }),
  ];
  await bed.clock.advance(1);
  await bed.store.apiKeys.revoke(revoked.id, bed.clock.now());
  bed.audited.length = 0;
  const told = new Set<string>();
  for (const token of ['x', ...[expired, revoked, elsewhere].map(({ key }) => key.reveal())]) {
    const peer = { address: `203.0.113.${50 + bed.audited.length}`, isPrivate: true };
    const response = await ask('/v1/messages', { headers: { authorization: `Bearer ${token}` } }, peer);
    const { requestId: _, ...rest } = await problem(response);
    told.add(JSON.stringify([response.status, rest]));
  }
  assert.equal(told.size, 1, [...told].join('\n'));
  assert.deepEqual(
    bed.audited.map(({ data }) => data!['reason']),
    ['unknown', 'expired', 'revoked', 'wrong-network'],
  );
});

test('A38: a webhook needs what reading its events needs, belongs to its key, and is bounded', async () => {
  const writer = await bed.key({ actions: ['webhooks:*'], mailboxes: [ALICE] });
  const json = { url: 'https://127.0.0.1/x', mailboxes: [ALICE] };
  await writer.fails('createWebhook', { json }, 403, 'api.forbidden');
  const reader = await bed.key({ actions: ['webhooks:*', 'events:read'], mailboxes: [ALICE] });
  const made = await reader.ok('createWebhook', { json });
  assert.equal(made.apiKeyId, reader.id);
  const params = { id: made.id };
  await writer.fails('updateWebhook', { params, json: { url: 'https://127.0.0.1/y' } }, 403, 'api.forbidden');
  await writer.fails('rotateWebhookSecret', { params, json: {} }, 403, 'api.forbidden');
  await writer.fails('listWebhookDeliveries', { params }, 403, 'api.forbidden');
  // Whoever changes it answers for it from then on.
  const other = await bed.key({ mailboxes: [ALICE] });
  const changed = await other.ok('updateWebhook', { params, json: { enabled: true } });
  assert.equal(changed.apiKeyId, other.id);
  for (let n = 0; n < 19; n++) await other.ok('createWebhook', { json });
  await other.fails('createWebhook', { json }, 422, 'api.too-many-webhooks');
  await reader.ok('createWebhook', { json });
});

test('A87: a key that may change what waits, and not send, puts no mail of its own in its place', async () => {
  const sender = await bed.key({ actions: ['messages:send'] });
  const scheduledAt = '2030-01-01T00:00:00Z';
  const { id } = await sender.ok('sendMessage', { json: { ...hello, scheduledAt } });
  const content = { to: 'victim@x.test', subject: 'Other', text: 'Other' };
  const writer = await bed.key({ actions: ['messages:write', 'messages:read', 'messages:content'] });
  const params = { id };
  const { detail } = await writer.fails('editMessage', { params, json: { content } }, 403, 'api.forbidden');
  assert.match(detail, /does not allow messages:send$/);
  const now = await writer.ok('getMessage', { params });
  assert.deepEqual([now.principal, now.recipients[0].address], [sender.id, 'bob@x.test']);
  // What it is for it may do still.
  assert.equal((await writer.ok('editMessage', { params, json: { lane: 'urgent' } })).principal, sender.id);

  // Whoever may do both answers for what it wrote.
  const both = await bed.key({ actions: ['messages:write', 'messages:send', 'messages:read'] });
  const edited = await both.ok('editMessage', { params, json: { content } });
  assert.deepEqual([edited.principal, edited.source, edited.recipients[0].address], [both.id, 'http', 'victim@x.test']);
  const story = await bed.outbox.events({ messageId: id, limit: 9 });
  // Another lane is no other message.
  assert.deepEqual(
    story.filter(({ type }) => type === 'edited').map(({ data }) => data['insteadOf']),
    [undefined, { source: 'http', principal: sender.id }],
  );
  await both.ok('cancelMessage', { params });
});

test('A87: mail of a device that a key rewrites is from that key, with its rights', async () => {
  const mailbox = (await bed.store.mailboxes.find(SHOP))!;
  const { message } = await bed.outbox.accept(
    {
      mailbox,
      source: 'device',
      principal: 'device printer',
      remoteAddress: '10.0.0.9',
      onlySender: SHOP,
      notBefore: Date.parse('2030-01-01T00:00:00Z'),
      envelope: { from: SHOP, recipients: [{ address: 'bob@x.test' }] },
    },
    [Buffer.from(`From: ${SHOP}\r\nSubject: Scan\r\n\r\nx\r\n`)],
  );
  const both = await bed.key({ actions: ['messages:write', 'messages:send'] });
  const params = { id: message.id };
  const edited = await both.ok('editMessage', { params, json: { content: { to: 'new@x.test', text: 'x' } } });
  assert.deepEqual([edited.principal, edited.source], [both.id, 'http']);
  const stored = (await bed.outbox.find(message.id))!;
  assert.notEqual(stored.remoteAddress, '10.0.0.9');
  await both.ok('cancelMessage', { params });
});

test('A88: every message whose text a key reads is on record, before it has the text', async () => {
  const { id } = await (await bed.key()).ok('sendMessage', { json: { ...hello, scheduledAt: '2030-01-01T00:00:00Z' } });
  const reader = await bed.key({ actions: ['messages:content'] });
  const before = bed.audited.length;
  const { status, text } = await reader.call('getMessageBody', { params: { id } });
  assert.equal(status, 200);
  assert.match(text, /Hi Bob/);
  assert.deepEqual(
    bed.audited
      .slice(before)
      .map(({ type, mailbox, data }) => [type, mailbox, data?.['messageId'], data?.['apiKeyId']]),
    [['message.read', SHOP, id, reader.id]],
  );
  const other = await bed.key({ actions: ['messages:content'], mailboxes: [ALICE] });
  await other.fails('getMessageBody', { params: { id } }, 404, 'outbox.not-found');
  assert.equal(bed.audited.filter(({ type }) => type === 'message.read').length, 1);
});

test('A86: whoever revokes a key is told how much of its mail still waits to be sent', async () => {
  const key = await bed.key({ actions: ['messages:send', 'messages:write'] });
  const said: string[] = [];
  const context = { say: (line: string) => void said.push(line) } as unknown as Context;
  const scheduledAt = '2030-01-01T00:00:00Z';
  const sent = [];
  for (let n = 0; n < 3; n++) sent.push(await key.ok('sendMessage', { json: { ...hello, scheduledAt } }));
  await key.ok('holdMessage', { params: { id: sent[0].id }, json: { reason: 'x' } });
  await key.ok('cancelMessage', { params: { id: sent[1].id } });
  const { store, vault, clock, audit } = bed;
  const root = { type: 'system-user', name: 'root' } as const;
  const { waiting } = await perform(revokeApiKey, { store, vault, clock, audit }, root, { name: key.id });
  assert.equal(waiting, 2);
  sayWaiting(context, key.id, waiting);
  sayWaiting(context, key.id, 0);
  assert.equal(said.length, 1);
  assert.match(
    said[0]!,
    /^2 messages that it handed over still wait, and will be sent: postern outbox list --password key_/,
  );
});
