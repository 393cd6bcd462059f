/** A key, or a mailbox of it, that is withdrawn in the middle of a request: nothing is done with it from then on. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ALICE, type ApiBed, type ApiClient, openApiBed, SHOP } from '../bed/api.ts';

const KEEP_S = 60;
const hello = { from: ALICE, to: 'bob@x.test', subject: 'Hello', text: 'Hi' };

/** Calls once, after the first of what it watches is done; what else is under way there waits for it. */
function afterFirst<K extends string>(
  table: Record<K, (...args: never[]) => Promise<unknown>>,
  name: K,
  then: () => Promise<unknown>,
): void {
  const before = table[name].bind(table);
  let happened: Promise<unknown> | undefined;
  Object.assign(table, {
    async [name](...args: never[]) {
      const result = await before(...args);
      await (happened ??= then());
      return result;
    },
  });
}

const WAYS: Readonly<Record<string, (bed: ApiBed, key: ApiClient) => Promise<unknown>>> = {
  'is revoked': (bed, { id }) => bed.store.apiKeys.revoke(id, bed.clock.now()),
  ends: (bed) => bed.clock.advance(KEEP_S * 1000),
  'loses the mailbox': (bed) => bed.store.apiKeys.withdraw([ALICE], bed.clock.now()),
};

async function opened(t: TestContext) {
  const bed = await openApiBed();
  t.after(() => bed.stop());
  const key = await bed.key({ mailboxes: [ALICE, SHOP], expiresAt: bed.clock.now() + KEEP_S * 1000 });
  return { bed, key };
}
const refusals = [401, 404];

/** What the sweep would find. */
async function orphansOf({ clock, outbox }: ApiBed): Promise<number> {
  await clock.advance(7 * 3_600_000);
  return (await outbox.tidy()).orphans;
}

for (const [how, withdraw] of Object.entries(WAYS)) {
  test(`A73: of a merge no message is taken after its key ${how}`, async (t) => {
    const { bed, key } = await opened(t);
    const all = await bed.key();
    await all.ok('putTemplate', { params: { name: 'a' }, json: { subject: 's', text: 't' } });
    const octets = { type: 'application/octet-stream', body: 'x'.repeat(1_000_000) };
    const upload = await key.ok('createUpload', { query: { filename: 'a' }, octets });
    // Its attachment is read again for each message, piece by piece.
    afterFirst(bed.store.outbox, 'addChunks', () => withdraw(bed, key));
    const merge = Array.from({ length: 4 }, (_, n) => ({ to: [`r${n}@x.test`] }));
    const json = { from: ALICE, template: { name: 'a' }, attachments: [{ upload: upload.id }], merge };
    const { status } = await key.call('sendMerge', { json });
    assert.ok(refusals.includes(status), String(status));
    assert.deepEqual(await bed.outbox.list({}, { limit: 9 }), []);
    assert.equal(await orphansOf(bed), 0);
  });

  test(`A73: a message whose key ${how} after its last octet is not taken`, async (t) => {
    const { bed, key } = await opened(t);
    afterFirst(bed.store.outbox, 'knows', () => withdraw(bed, key));
    afterFirst(bed.store.mailboxes, 'opened', () => withdraw(bed, key));
    const { status } = await key.call('sendMessage', { json: hello });
    assert.ok(refusals.includes(status), String(status));
    assert.deepEqual(await bed.outbox.list({}, { limit: 9 }), []);
  });

  test(`A73: a waiting message is not rewritten after its key ${how}`, async (t) => {
    const { bed, key } = await opened(t);
    const { id } = await key.ok('sendMessage', { json: { ...hello, scheduledAt: '2027-11-21T09:30:00Z' } });
    afterFirst(bed.store.outbox, 'addChunks', () => withdraw(bed, key));
    const content = { ...hello, text: 'other '.repeat(100_000) };
    const { status } = await key.call('editMessage', { params: { id }, json: { content } });
    assert.ok(refusals.includes(status), String(status));
    assert.equal(await orphansOf(bed), 0);
    assert.ok(!(await bed.outbox.events({ messageId: id, limit: 9 })).some(({ type }) => type === 'edited'));
  });
}

test('A73: an upload, and a change, whose key is revoked after the last octet are not made', async (t) => {
  const { bed, key } = await opened(t);
  afterFirst(bed.store.outbox, 'addChunks', () => WAYS['is revoked']!(bed, key));
  const octets = { type: 'application/octet-stream', body: 'x' };
  assert.equal((await key.call('createUpload', { query: { filename: 'a' }, octets })).status, 401);
  assert.deepEqual({ ...(await bed.store.uploads.held(key.id, 0)) }, { count: 0, octets: 0 });
  const other = await bed.key();
  afterFirst(bed.store.mailboxes, 'opened', () => WAYS['is revoked']!(bed, other));
  const items = [{ address: 'a@x.test', mailbox: ALICE }];
  assert.equal((await other.call('addSuppressions', { json: { items } })).status, 401);
  assert.deepEqual(await bed.store.suppressions.list({ limit: 9 }), []);
});

test('A80: who rotates the secret of a webhook answers for it; sending again, testing and removing take events:read', async (t) => {
  const bed = await openApiBed();
  t.after(() => bed.stop());
  const [one, two] = [await bed.key(), await bed.key()];
  const blind = await bed.key({ actions: ['webhooks:*'] });
  const { id } = await one.ok('createWebhook', { json: { url: 'https://127.0.0.1:1/x' } });
  const params = { id };
  const since = '2020-01-01T00:00:00Z';
  await blind.fails('replayWebhook', { params, json: { since } }, 403, 'api.forbidden');
  await blind.fails('testWebhook', { params }, 403, 'api.forbidden');
  await blind.fails('deleteWebhook', { params }, 403, 'api.forbidden');
  assert.equal((await two.ok('rotateWebhookSecret', { params, json: {} })).apiKeyId, two.id);
  assert.equal((await bed.store.webhooks.find(id))?.apiKeyId, two.id);
  await two.ok('deleteWebhook', { params });
});
