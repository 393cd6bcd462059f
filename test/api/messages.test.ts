/** Which messages the API takes, and what it says of those that it does not. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { resumeGrant, suspendGrant } from '../../src/oauth/suspension.ts';
import { type ApiBed, type ApiClient, openApiBed, SHOP } from '../bed/api.ts';

let bed: ApiBed;
let client: ApiClient;
before(async () => {
  bed = await openApiBed();
  client = await bed.key();
});
after(() => bed.stop());

const hello = { from: SHOP, to: 'bob@x.test', subject: 'Hello', text: 'Hi Bob' };

test('the same key and request give the same message, another request none', async () => {
  const headers = { 'idempotency-key': 'order-1' };
  const first = await client.call('sendMessage', { json: hello, headers });
  const second = await client.call('sendMessage', { json: hello, headers });
  assert.equal(second.status, 202);
  assert.deepEqual([second.body.id, second.body.replayed], [first.body.id, true]);
  assert.equal(second.headers.get('idempotency-replayed'), 'true');
  await client.fails('sendMessage', { json: { ...hello, text: 'other' }, headers }, 409, 'outbox.idempotency-mismatch');
  const other = await bed.key();
  assert.notEqual(
    (await other.ok('sendMessage', { json: hello, headers })).id,
    first.body.id,
    'keys of others are others',
  );
  const both = await Promise.all(
    ['x', 'y'].map(() => client.call('sendMessage', { json: hello, headers: { 'idempotency-key': 'order-2' } })),
  );
  const busy = both.find(({ status }) => status === 409);
  assert.ok(busy === undefined || Number(busy.headers.get('retry-after')) >= 1);
  assert.ok(both.some(({ status }) => status === 202));
});

test('P88: what is wrong with a message is said field by field, and nothing is taken', async () => {
  const before = (await client.ok('listMessages', {})).items.length;
  const wrong: readonly (readonly [object, number, string])[] = [
    [{}, 400, 'api.request'],
    [{ ...hello, to: undefined }, 422, 'outbox.no-recipients'],
    [{ ...hello, to: 'nobody' }, 422, 'outbox.address'],
    [{ ...hello, to: 'a@x.test\r\nBcc: b@x.test' }, 422, 'outbox.address'],
    [{ ...hello, from: 'stranger@x.test' }, 404, 'api.not-found'],
    [{ ...hello, from: 'stranger@x.test', mailbox: SHOP }, 403, 'outbox.sender'],
    [{ ...hello, from: 'a@x.test, b@x.test' }, 400, 'api.request'],
    [{ ...hello, headers: { 'X-A': 'a\r\nBcc: eve@x.test' } }, 422, 'outbox.header'],
    [{ ...hello, headers: { Bcc: 'eve@x.test' } }, 422, 'outbox.header'],
    [{ ...hello, headers: { 'Resent-From': 'ceo@x.test' } }, 403, 'outbox.sender'],
    [{ ...hello, unknown: 1 }, 400, 'api.request'],
    [{ ...hello, scheduledAt: 'tomorrow' }, 400, 'api.request'],
    [{ ...hello, scheduledAt: '2030-01-02T00:00:00Z', expiresAt: '2030-01-01T00:00:00Z' }, 400, 'api.request'],
    [{ ...hello, attachments: [{ filename: 'a', content: '!' }] }, 400, 'api.request'],
    [{ ...hello, attachments: [{ upload: 'upl_none' }] }, 404, 'api.not-found'],
    [{ ...hello, template: { name: 'none' } }, 400, 'api.request'],
    [{ ...hello, text: undefined, template: { name: 'none' } }, 404, 'api.not-found'],
  ];
  for (const [json, status, code] of wrong) await client.fails('sendMessage', { json }, status, code);
  const { violations } = (await client.call('sendMessage', { json: { ...hello, to: 7, lane: 'fast' } })).body;
  assert.deepEqual(violations.map(({ path }: { path: string }) => path).toSorted(), ['lane', 'to']);
  const paths = async (operation: 'sendMessage' | 'sendMerge', json: object): Promise<readonly string[]> => {
    const { body } = await client.call(operation, { json });
    return body.violations.map(({ path }: { path: string }) => path).toSorted();
  };
  assert.deepEqual(await paths('sendMessage', { from: SHOP, to: 'nope', text: 1, foo: 2 }), ['', 'text', 'to']);
  assert.deepEqual(await paths('sendMessage', { ...hello, to: ['bob@x.test', 'nope'], cc: { address: 'no way' } }), [
    'cc.address',
    'to.1',
  ]);
  assert.deepEqual(
    await paths('sendMerge', { from: 'nope', template: { name: 'x' }, merge: [{ to: 'nope', data: 1 }] }),
    ['from', 'merge.0.data', 'merge.0.to'],
  );
  await client.fails('sendMessage', { octets: { type: 'application/json', body: '{' } }, 400, 'api.request');
  await client.fails('sendMessage', { octets: { type: 'text/plain', body: 'x' } }, 415, 'api.media-type');
  assert.equal((await client.ok('listMessages', {})).items.length, before);
});

test('F50: a name that needs quotation marks and has none is refused, with the value and how to write it', async () => {
  for (const to of [
    'Doe, John <doe@x.test>',
    '"Doe, John <doe@x.test>',
    'John "Doe <doe@x.test>',
    'Doe; John <doe@x.test>',
  ]) {
    const { detail, hint, violations } = await client.fails(
      'sendMessage',
      { json: { ...hello, to } },
      422,
      'outbox.address',
    );
    assert.ok(detail.includes(to), detail);
    assert.match(hint, /"Doe, John" <doe@example\.com>/);
    assert.equal(violations[0].path, 'to');
  }
  for (const to of ['"Doe, John" <doe@x.test>', { name: 'Doe, John', address: 'doe@x.test' }]) {
    const { id } = await client.ok('sendMessage', { json: { ...hello, to } });
    const { text } = await client.call('getMessageBody', { params: { id } });
    assert.match(text, /^To: "Doe, John" <doe@x\.test>\r$/m);
  }
});

test('nothing is taken for a mailbox that is suspended, as by SMTP', async () => {
  const deps = { store: bed.store, vault: bed.vault, clock: bed.clock, emit: () => Promise.resolve() };
  const { state } = (await bed.store.grants.find('grt_1'))!;
  await suspendGrant(deps, 'grt_1', 'on leave');
  const refused = await client.fails('sendMessage', { json: hello }, 403, 'oauth.suspended');
  assert.match(refused.detail, /shop@contoso\.test is suspended: on leave/);
  const entry = { ...hello, to: undefined, subject: undefined, text: undefined, template: { name: 'none' } };
  await client.fails('sendMerge', { json: { ...entry, merge: [{ to: 'bob@x.test' }] } }, 403, 'oauth.suspended');
  await resumeGrant(deps, 'grt_1');
  await client.ok('sendMessage', { json: hello });
  // Others find it as it was.
  const { generation } = (await bed.store.grants.find('grt_1'))!;
  await bed.store.grants.update('grt_1', generation, { state });
});

test('A36: a merge holds a few of its messages at a time, and its attachments once', async () => {
  const client = await bed.key();
  const row = '<tr><td style="font-family:Arial;font-size:14px;padding:8px 12px">{{.}}</td></tr>';
  await client.ok('putTemplate', {
    params: { name: 'large' },
    json: { subject: 'Your order', html: `<table>{{#items}}${row}{{/items}}</table>` },
  });
  const items = Array.from({ length: 9000 }, () => 0);
  const merge = Array.from({ length: 12 }, (_, n) => ({ to: `x${n}@x.test`, data: { items } }));
  const attachments = [{ filename: 'a.bin', content: Buffer.alloc(100_000).toString('base64') }];
  const { take } = bed.budget;
  let most = 0;
  bed.budget.take = (octets) => {
    const taken = take.call(bed.budget, octets);
    most = Math.max(most, bed.budget.held);
    return taken;
  };
  const json = { from: SHOP, template: { name: 'large' }, merge, attachments };
  const { items: accepted } = await client.ok('sendMerge', { json });
  bed.budget.take = take;
  assert.equal(accepted.length, 12);
  // Some 800 KB of HTML each, 20 MB composed together.
  assert.ok(most > 1_000_000 && most < 5_000_000, `${most} octets`);
  assert.equal(bed.budget.held, 0);
  const held = await client.call('getMessageBody', { params: { id: accepted[11].id } });
  assert.match(held.text, /To: x11@x\.test/);
  assert.match(held.text, /a\.bin/);
});

test('A24: another message in the place of one that waits is judged as if it came now', async () => {
  const scheduledAt = '2030-01-01T00:00:00Z';
  const content = { to: 'new@x.test', subject: 'Better', text: 'x' };
  const wait = async (from: string): Promise<{ readonly id: string }> => {
    const { id } = await client.ok('sendMessage', { json: { ...hello, from, scheduledAt } });
    return { id };
  };
  const own = await wait(SHOP);
  const foreign = { ...content, headers: { 'Resent-From': 'ceo@x.test' } };
  await client.fails('editMessage', { params: own, json: { content: foreign } }, 403, 'outbox.sender');
  const as = await wait('info@contoso.test');
  const { settings } = (await bed.store.mailboxes.find(SHOP))!;
  await bed.store.mailboxes.replaceSettings(SHOP, settings, {});
  const refused = await client.fails('editMessage', { params: as, json: { content } }, 403, 'outbox.sender');
  assert.match(refused.detail, /may not send as info@contoso\.test/);
  await bed.store.mailboxes.replaceSettings(SHOP, {}, settings);
  await client.ok('editMessage', { params: as, json: { content } });
  await bed.store.mailboxes.update(SHOP, { suspended: { since: 0, reason: 'on leave' } });
  await client.fails('editMessage', { params: own, json: { content } }, 403, 'oauth.suspended');
  await client.ok('editMessage', { params: own, json: { lane: 'urgent' } });
  await bed.store.mailboxes.update(SHOP, { suspended: undefined });
  const report = await client.ok('sendMessage', {
    query: { from: '<>', mailbox: SHOP, scheduledAt },
    octets: { type: 'message/rfc822', body: 'To: x@x.test\r\nAuto-Submitted: auto-replied\r\n\r\nhi\r\n' },
  });
  await client.fails('editMessage', { params: { id: report.id }, json: { content } }, 403, 'outbox.sender');
  for (const { id } of [own, as, report]) await client.ok('cancelMessage', { params: { id } });
});

test('A27: a message has so many further fields and no more', async () => {
  const fields = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`X-${at}`, 'a']));
  await client.ok('sendMessage', { json: { ...hello, headers: fields(100) } });
  const { violations } = await client.fails(
    'sendMessage',
    { json: { ...hello, headers: fields(101) } },
    400,
    'api.request',
  );
  assert.deepEqual(violations, [{ path: 'headers', message: 'at most 100 fields' }]);
});

test('A91: a finished message with Resent-Bcc and no Resent-From is refused, as nobody knows whom it is meant for', async () => {
  const post = (head: string, query: Readonly<Record<string, string>> = {}) => ({
    query,
    octets: { type: 'message/rfc822', body: `${head}From: ${SHOP}\r\nTo: to@x.test\r\nBcc: bcc@x.test\r\n\r\nhi\r\n` },
  });
  const recipientsOf = ({ recipients }: { recipients: readonly { address: string }[] }): readonly string[] =>
    recipients.map(({ address }) => address);
  for (const field of ['Resent-Bcc', 'Resent-To', 'Resent-Cc']) {
    const head = `${field}: other@x.test\r\n`;
    const { detail, hint } = await client.fails('sendMessage', post(head), 400, 'api.request');
    assert.match(detail, /no Resent-From/);
    assert.match(hint, /\?to=ADDRESS/);
    // Whoever names the recipients has said whom it is for.
    assert.deepEqual(recipientsOf(await client.ok('sendMessage', post(head, { to: 'bob@x.test' }))), ['bob@x.test']);
    const resent = `Resent-From: ${SHOP}\r\n${head}`;
    assert.deepEqual(recipientsOf(await client.ok('sendMessage', post(resent))), ['other@x.test']);
  }
  assert.deepEqual(recipientsOf(await client.ok('sendMessage', post('Resent-Date: x\r\n'))), [
    'to@x.test',
    'bcc@x.test',
  ]);
});
