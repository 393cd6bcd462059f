/** Every operation of the OpenAPI document, asked for and held against what the document says. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import PostalMime from 'postal-mime';
import { ALICE, type ApiBed, type ApiClient, openApiBed, SHOP } from '../bed/api.ts';

let bed: ApiBed;
let client: ApiClient;
before(async () => {
  bed = await openApiBed();
  client = await bed.key();
});
after(() => bed.stop());

const hello = { from: SHOP, to: 'bob@x.test', subject: 'Hello', text: 'Hi Bob' };
const bodyOf = async (id: string) => {
  const { text } = await client.call('getMessageBody', { params: { id } });
  return PostalMime.parse(text);
};

test('a message is taken, found, read, and its story told', async () => {
  const answer = await client.call('sendMessage', {
    json: {
      from: { name: 'Zoë’s shop', address: SHOP },
      to: ['Bob <bob@x.test>', { address: 'carol@x.test' }],
      cc: 'dave@x.test',
      bcc: 'eve@x.test',
      subject: 'Rechnung – 4711',
      text: 'Hallo',
      html: '<p>Hallo <img src="cid:logo"></p>',
      headers: { 'X-Order': '4711' },
      attachments: [
        { filename: 'a.txt', contentType: 'text/plain', content: Buffer.from('one').toString('base64') },
        { filename: 'logo.png', contentType: 'image/png', content: 'aGk=', cid: 'logo' },
      ],
      lane: 'urgent',
    },
  });
  assert.equal(answer.status, 202);
  const { id, recipients, state, lane, replayed, messageId } = answer.body;
  assert.equal(answer.headers.get('location'), `/v1/messages/${id}`);
  assert.deepEqual([state.type, lane, replayed, recipients.length], ['queued', 'urgent', false, 4]);
  const mail = await bodyOf(id);
  assert.equal(mail.subject, 'Rechnung – 4711');
  assert.deepEqual(mail.from, { name: 'Zoë’s shop', address: SHOP });
  assert.equal(mail.bcc, undefined);
  assert.equal(mail.messageId, messageId);
  assert.deepEqual(mail.attachments.map(({ filename }) => filename).toSorted(), ['a.txt', 'logo.png']);
  assert.equal((await client.ok('getMessage', { params: { id } })).id, id);
  const story = await client.ok('listMessageEvents', { params: { id } });
  assert.deepEqual(
    story.items.map(({ type }: { type: string }) => type),
    ['message.accepted'],
  );
  const found = await client.ok('listMessages', {
    query: { messageId, state: 'queued,held', mailbox: SHOP, recipient: 'eve@x.test' },
  });
  assert.deepEqual(
    found.items.map((one: { id: string }) => one.id),
    [id],
  );
});

test('a finished message is taken octet for octet, its envelope from the header or the query', async () => {
  const raw =
    'From: shop@contoso.test\nTo: Bob <bob@x.test>,\n carol@x.test\nBcc: eve@x.test\nSubject: raw\n\nline\n.\nend\n';
  const octets = { type: 'message/rfc822', body: raw };
  const one = await client.ok('sendMessage', { octets });
  assert.deepEqual(
    one.recipients.map(({ address }: { address: string }) => address),
    ['bob@x.test', 'carol@x.test', 'eve@x.test'],
  );
  const { text } = await client.call('getMessageBody', { params: { id: one.id } });
  assert.ok(text.endsWith('\r\n\r\nline\r\n.\r\nend\r\n'));
  assert.doesNotMatch(text, /eve@x\.test/);
  const query = {
    from: 'info@contoso.test',
    to: ['a@x.test', 'b@x.test,c@x.test'],
    scheduledAt: '2030-01-01T00:00:00+01:00',
  };
  const two = await client.ok('sendMessage', { octets, query });
  assert.deepEqual([two.mailbox, two.from, two.recipients.length], [SHOP, 'info@contoso.test', 3]);
  assert.equal(two.state.dueAt, '2029-12-31T23:00:00.000Z');
  await client.fails('sendMessage', { octets: { ...octets, body: 'Subject: nobody\n\nx' } }, 400, 'api.request');
  await client.fails(
    'sendMessage',
    { octets: { ...octets, body: 'From: shop@contoso.test\nTo: b@x.test\n\nx\ry' } },
    422,
    'outbox.bare-newline',
  );
});

test('a large attachment is sent ahead, used once more, and forgotten', async () => {
  const octets = Buffer.alloc(700_000, 'Postern ');
  const upload = await client.ok('createUpload', {
    query: { filename: 'big.bin' },
    octets: { type: 'application/x-big', body: octets },
  });
  assert.deepEqual([upload.size, upload.contentType], [octets.length, 'application/x-big']);
  const attachments = [
    { upload: upload.id },
    { upload: upload.id, filename: 'copy.bin', contentType: 'application/y' },
  ];
  const { id } = await client.ok('sendMessage', { json: { ...hello, attachments } });
  const mail = await bodyOf(id);
  assert.deepEqual(
    mail.attachments.map(({ filename, mimeType }) => [filename, mimeType]),
    [
      ['big.bin', 'application/x-big'],
      ['copy.bin', 'application/y'],
    ],
  );
  assert.ok(mail.attachments.every(({ content }) => Buffer.from(content as ArrayBuffer).equals(octets)));
  const other = await bed.key();
  await other.fails('sendMessage', { json: { ...hello, attachments: [{ upload: upload.id }] } }, 404, 'api.not-found');
  await other.fails('deleteUpload', { params: { id: upload.id } }, 404, 'api.not-found');
  await client.ok('deleteUpload', { params: { id: upload.id } });
  await client.fails('sendMessage', { json: { ...hello, attachments: [{ upload: upload.id }] } }, 404, 'api.not-found');
  await client.fails(
    'createUpload',
    { query: { filename: '../x' }, octets: { type: 'a/b', body: 'x' } },
    400,
    'api.request',
  );
});

test('what waits is changed, held, let go and cancelled; what is over is not', async () => {
  const { id } = await client.ok('sendMessage', { json: { ...hello, scheduledAt: '2030-01-01T00:00:00Z' } });
  const params = { id };
  const content = { to: ['new@x.test'], subject: 'Better', html: '<p>Better</p>' };
  const edited = await client.ok('editMessage', {
    params,
    json: { scheduledAt: '2031-01-01T00:00:00Z', lane: 'urgent', content },
  });
  assert.deepEqual(
    [edited.lane, edited.state.dueAt, edited.recipients[0].address],
    ['urgent', '2031-01-01T00:00:00.000Z', 'new@x.test'],
  );
  assert.equal((await bodyOf(id)).subject, 'Better');
  await client.fails('editMessage', { params, json: { content: { ...content, from: ALICE } } }, 400, 'api.request');
  const held = await client.ok('holdMessage', { params, json: { reason: 'wait for the boss' } });
  assert.deepEqual([held.state.type, held.state.reason], ['held', 'wait for the boss']);
  assert.equal((await client.ok('retryMessage', { params })).state.type, 'queued');
  assert.equal((await client.ok('cancelMessage', { params })).state.type, 'cancelled');
  await client.fails('cancelMessage', { params }, 409, 'outbox.too-late');
  await client.fails('editMessage', { params, json: { lane: 'normal' } }, 409, 'outbox.too-late');
  await client.fails('getMessage', { params: { id: 'msg_none' } }, 404, 'outbox.not-found');
  const story = await client.ok('listMessageEvents', { params });
  assert.deepEqual(
    story.items.map(({ type }: { type: string }) => type),
    ['accepted', 'edited', 'held', 'released', 'cancelled'].map((type) => `message.${type}`),
  );
  assert.ok(bed.audited.some(({ type, data }) => type === 'api.changed' && data?.['messageId'] === id));
});

test('templates: versions, previews, and a message for each of many', async () => {
  const params = { name: 'invoice' };
  const source = { subject: 'Invoice {{number}}', html: '<p>Dear {{name}}, <a href="{{url}}">pay</a></p>' };
  assert.equal((await client.ok('putTemplate', { params, json: { ...source, subject: 'First' } })).version, 1);
  assert.equal((await client.ok('putTemplate', { params, json: source })).version, 2);
  await client.fails('putTemplate', { params, json: { ...source, html: '{{#a}}' } }, 422, 'outbox.template');
  assert.equal((await client.ok('getTemplate', { params })).subject, source.subject);
  assert.equal((await client.ok('getTemplate', { params, query: { version: '1' } })).subject, 'First');
  assert.equal((await client.ok('listTemplates', { query: { limit: '1' } })).items[0].version, 2);
  const versions = await client.ok('listTemplateVersions', { params, query: { limit: '1' } });
  const rest = await client.ok('listTemplateVersions', { params, query: { cursor: versions.next } });
  assert.deepEqual([versions.items[0].version, rest.items[0].version, rest.next], [2, 1, null]);
  const data = { number: 7, name: '<Zoë>', url: 'https://x.test/?a=1&b=2' };
  const preview = await client.ok('previewStoredTemplate', { params, json: { data } });
  assert.deepEqual(preview, {
    subject: 'Invoice 7',
    html: '<p>Dear &lt;Zoë&gt;, <a href="https://x.test/?a=1&amp;b=2">pay</a></p>',
    text: 'Dear <Zoë>, pay (https://x.test/?a=1&b=2)\n',
  });
  await client.ok('previewTemplate', { json: { subject: 's', text: '{{a}}', data: { a: 1 } } });
  const missing = await client.fails(
    'previewStoredTemplate',
    { params, json: { data: { number: 1 } } },
    422,
    'outbox.template-data',
  );
  assert.deepEqual(missing.facts, { part: 'html', path: 'name' });
  const { id } = await client.ok('sendMessage', {
    json: { from: SHOP, to: 'z@x.test', template: { name: 'invoice', data } },
  });
  assert.equal((await bodyOf(id)).subject, 'Invoice 7');
  const merge = ['a', 'b', 'c'].map((name, number) => ({ to: `${name}@x.test`, data: { ...data, name, number } }));
  const call = { json: { from: SHOP, template: { name: 'invoice' }, merge }, headers: { 'idempotency-key': 'run-1' } };
  const many = await client.ok('sendMerge', call);
  assert.equal((await bodyOf(many.items[1].id)).subject, 'Invoice 1');
  const again = await client.ok('sendMerge', call);
  assert.deepEqual(
    again.items.map((one: { id: string }) => one.id),
    many.items.map((one: { id: string }) => one.id),
  );
  const before = (await client.ok('listMessages', { query: { limit: '200' } })).items.length;
  const broken = { ...call.json, merge: [...merge, { to: 'd@x.test', data: {} }] };
  await client.fails('sendMerge', { json: broken }, 422, 'outbox.template-data');
  assert.equal((await client.ok('listMessages', { query: { limit: '200' } })).items.length, before, 'all or none');
  await client.ok('deleteTemplate', { params });
  await client.fails('getTemplate', { params }, 404, 'api.not-found');
});

test('suppressed addresses get no mail, from one mailbox or from all', async () => {
  const items = [
    { address: 'gone@x.test', reason: 'bounce', note: '550 5.1.1 no such user' },
    { address: 'no@x.test', mailbox: SHOP },
  ];
  assert.deepEqual(await client.ok('addSuppressions', { json: { items } }), { added: 2, changed: 0 });
  assert.deepEqual(await client.ok('addSuppressions', { json: { items } }), { added: 0, changed: 2 });
  const refused = await client.fails(
    'sendMessage',
    { json: { ...hello, to: 'Gone@x.test' } },
    422,
    'outbox.suppressed',
  );
  assert.match(refused.detail, /550 5\.1\.1 no such user/);
  await client.fails('sendMessage', { json: { ...hello, bcc: 'no@x.test' } }, 422, 'outbox.suppressed');
  await client.ok('sendMessage', { json: { ...hello, from: ALICE, to: 'no@x.test' } });
  const first = await client.ok('listSuppressions', { query: { limit: '1' } });
  const rest = await client.ok('listSuppressions', { query: { cursor: first.next } });
  assert.deepEqual([first.items[0].address, rest.items[0].mailbox, rest.next], ['gone@x.test', SHOP, null]);
  await client.ok('removeSuppression', { params: { address: 'gone@x.test' } });
  await client.fails('removeSuppression', { params: { address: 'gone@x.test' } }, 404, 'api.not-found');
  await client.ok('sendMessage', { json: { ...hello, to: 'gone@x.test' } });
});

test('mailboxes tell their state, and are held and released; P84: what was tried is told by protocol', async () => {
  const at = Date.UTC(2026, 10, 30);
  const failure = { code: 'check.mailbox-closed', reason: 'no licence' };
  await bed.store.mailboxes.remember(SHOP, { imap: { at, failure }, smtp: { at } });
  const { items } = await client.ok('listMailboxes');
  assert.deepEqual(
    items.map((one: { address: string }) => one.address),
    [ALICE, SHOP],
  );
  const params = { address: SHOP };
  await client.ok('holdMailbox', { params, json: { reason: 'spring cleaning' } });
  const held = await client.ok('getMailbox', { params });
  assert.deepEqual([held.state.type, held.provider, held.held.reason], ['healthy', 'microsoft', 'spring cleaning']);
  assert.ok(held.queue.queued > 0);
  const told = '2026-11-30T00:00:00.000Z';
  assert.deepEqual(held.tried, { imap: { at: told, failure }, smtp: { at: told, failure: null } });
  await client.ok('releaseMailbox', { params });
  await client.fails('releaseMailbox', { params }, 404, 'api.not-found');
  await client.fails('getMailbox', { params: { address: 'x@x.test' } }, 404, 'api.not-found');
});

test('webhooks: made, changed, rotated, tested, replayed, removed', async () => {
  for (const url of ['http://10.0.0.1/', 'https://localhost.localdomain:x/', 'https://[::1]/', 'file:///etc/passwd'])
    await client.fails('createWebhook', { json: { url } }, 422, 'outbox.webhook-address');
  const made = await client.ok('createWebhook', {
    json: { url: 'https://hooks.x.test/mail', types: ['message.sent'] },
  });
  assert.match(made.secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  const params = { id: made.id };
  assert.equal((await client.ok('getWebhook', { params })).secret, undefined);
  assert.equal((await client.ok('listWebhooks', { query: { limit: '1' } })).items[0].id, made.id);
  const changed = await client.ok('updateWebhook', { params, json: { enabled: false, types: [], mailboxes: [SHOP] } });
  assert.deepEqual([changed.enabled, changed.types, changed.mailboxes], [false, [], [SHOP]]);
  assert.equal((await client.ok('updateWebhook', { params, json: { enabled: true } })).disabled, null);
  const rotated = await client.ok('rotateWebhookSecret', { params, json: { overlapSeconds: 60 } });
  assert.notEqual(rotated.secret, made.secret);
  assert.deepEqual(
    rotated.secrets.map((one: { expiresAt: string | null }) => one.expiresAt === null),
    [true, false],
  );
  const third = await client.ok('rotateWebhookSecret', { params, json: {} });
  assert.equal(third.secrets.length, 2, 'never more than two');
  const tested = await client.ok('testWebhook', { params });
  const delivery = { ...params, delivery: tested.id };
  assert.equal((await client.ok('getWebhookDelivery', { params: delivery })).type, 'webhook.test');
  assert.equal(
    (await client.ok('listWebhookDeliveries', { params, query: { state: 'pending' } })).items[0].id,
    tested.id,
  );
  const [claimed] = await bed.store.webhooks.claim({
    webhookId: made.id,
    now: bed.clock.now(),
    until: bed.clock.now() + 1,
    limit: 1,
  });
  await bed.store.webhooks.settle(
    claimed!,
    { at: bed.clock.now(), tookMs: 1, status: 500, problem: 'no' },
    { type: 'failed' },
  );
  const since = new Date(bed.clock.now() - 1000).toISOString();
  assert.equal((await client.ok('replayWebhook', { params, json: { since } })).count, 1);
  const replayed = await client.ok('replayWebhookDelivery', { params: delivery });
  assert.deepEqual([replayed.state, replayed.attempts[0].status], ['pending', 500]);
  await client.ok('deleteWebhook', { params });
  await client.fails('getWebhook', { params }, 404, 'api.not-found');
});

test('events are paged, filtered, waited for, and go on where they stopped', async () => {
  const all = await client.ok('listEvents', { query: { limit: '5' } });
  assert.equal(all.items.length, 5);
  const next = await client.ok('listEvents', { query: { after: all.next, limit: '1' } });
  assert.ok(Number(next.items[0].id) > Number(all.items[4].id));
  const cancelled = await client.ok('listEvents', { query: { types: 'message.cancelled' } });
  assert.ok(
    cancelled.items.length > 0 && cancelled.items.every((one: { type: string }) => one.type === 'message.cancelled'),
  );
  const mine = await client.ok('listEvents', { query: { messageId: cancelled.items[0].messageId, mailbox: SHOP } });
  assert.equal(mine.items.length, 5);
  await client.fails('listEvents', { query: { types: 'message.lost' } }, 400, 'api.request');
  await client.fails('listEvents', { query: { after: 'yesterday' } }, 400, 'api.request');
  const waiting = client.ok('listEvents', { query: { after: 'latest', wait: '30' } });
  await client.ok('listMessages');
  const { id } = await client.ok('sendMessage', { json: hello });
  assert.deepEqual(
    (await waiting).items.map((one: { messageId: string }) => one.messageId),
    [id],
  );
  const nothing = client.ok('listEvents', { query: { after: 'latest', wait: '1' } });
  for (let n = 0; n < 20; n++) await bed.clock.advance(100);
  assert.deepEqual((await nothing).items, []);
});

test('no operation of the document was left out', () => {
  const all = Object.values(bed.document.paths).flatMap((methods) =>
    Object.values(methods).map((one) => one.operationId),
  );
  assert.ok(all.length >= 38);
  assert.deepEqual(
    all.filter((id) => !bed.exercised.has(id)),
    [],
  );
});
