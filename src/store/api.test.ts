/** The tables of the HTTP API, the same contract on both engines. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { without } from '../../test/bed/need.ts';
import { type Postgres, startPostgres } from '../../test/bed/postgres.ts';
import { isError } from '../base/error.ts';
import { newId } from './id.ts';
import { openStore } from './open.ts';
import type { NewWebhookDelivery, Webhook } from './types-api.ts';
import type { Store } from './types.ts';

const noPostgres = without('postgresql');
const folder = mkdtempSync(join(tmpdir(), 'postern-store-'));
let postgres: Postgres | undefined;
before(async () => {
  if (noPostgres === false) postgres = await startPostgres();
});
after(async () => {
  await postgres?.stop();
  rmSync(folder, { recursive: true });
});

for (const engine of ['sqlite', 'sqlite with a thread', 'postgres'] as const) {
  describe(engine, { skip: engine === 'postgres' && noPostgres }, () => {
    let store: Store;
    before(async () => {
      store = await openStore(
        engine === 'postgres' ? await postgres!.freshDatabase() : `sqlite:${join(folder, `${engine}.db`)}`,
        {
          writer: engine === 'sqlite with a thread' ? 'thread' : 'here',
        },
      );
    });
    after(() => store.close());

    const hook = async (change: Partial<Webhook> = {}): Promise<Webhook> => {
      const row: Webhook = {
        id: newId('whk'),
        apiKeyId: undefined,
        url: 'https://example.test/hook',
        types: [],
        mailboxes: ['*'],
        secrets: Uint8Array.of(1, 2),
        state: { type: 'enabled' },
        cursor: 0,
        createdAt: 1,
        ...change,
      };
      await store.webhooks.insert(row);
      return row;
    };
    const delivery = (change: Partial<NewWebhookDelivery> = {}): NewWebhookDelivery => ({
      id: newId('whd'),
      eventId: newId('evt'),
      type: 'message.sent',
      orderingKey: 'msg_1',
      mailbox: 'a@x.test',
      payload: '{"a":"ü"}',
      createdAt: 10,
      deadline: 1000,
      ...change,
    });

    test('keeps API keys, finds them by hash, revokes once', async () => {
      const row = {
        id: newId('key'),
        label: 'shop',
        hash: newId('hash'),
        actions: ['messages:send', 'events:read'],
        mailboxes: ['a@x.test'],
        networks: ['10.0.0.0/8'],
        rate: 60,
        createdAt: 1,
        expiresAt: 2,
        revokedAt: undefined,
        lastUsedAt: undefined,
      } as const;
      await store.apiKeys.insert(row);
      assert.deepEqual(await store.apiKeys.byHash(row.hash), row);
      await store.apiKeys.touch(row.id, 5);
      assert.equal(await store.apiKeys.revoke(row.id, 6), true);
      assert.equal(await store.apiKeys.revoke(row.id, 7), false);
      assert.deepEqual(await store.apiKeys.find(row.id), { ...row, lastUsedAt: 5, revokedAt: 6 });
      assert.equal((await store.apiKeys.list()).length, 1);
    });

    test('counts versions of a template and forgets none', async () => {
      const text = (subject: string) => ({ name: 'welcome', subject, html: '<p>', text: undefined, createdAt: 1 });
      assert.equal((await store.templates.add(text('one'))).version, 1);
      assert.equal((await store.templates.add(text('two'))).version, 2);
      await store.templates.add({ ...text('x'), name: 'another', text: 'plain' });
      assert.equal((await store.templates.find('welcome'))?.subject, 'two');
      assert.equal((await store.templates.find('welcome', 1))?.subject, 'one');
      assert.equal(await store.templates.find('welcome', 3), undefined);
      const names = (await store.templates.list({ limit: 9 })).map(({ name, version }) => [name, version]);
      assert.deepEqual(names, [
        ['another', 1],
        ['welcome', 2],
      ]);
      assert.equal((await store.templates.list({ after: 'another', limit: 9 })).length, 1);
      assert.deepEqual(
        (await store.templates.versions('welcome', { before: 2, limit: 9 })).map(({ version }) => version),
        [1],
      );
      assert.equal(await store.templates.remove('welcome'), true);
      assert.equal(await store.templates.remove('welcome'), false);
    });

    test('matches suppressions of one mailbox and of all', async () => {
      const row = { address: 'Bob@X.test', mailbox: '*', reason: 'manual', note: undefined, createdAt: 1 } as const;
      assert.equal(await store.suppressions.put(row), true);
      assert.equal(await store.suppressions.put({ ...row, reason: 'bounce', note: '550' }), false);
      await store.suppressions.put({ ...row, address: 'eve@x.test', mailbox: 'a@x.test' });
      const match = async (mailbox: string) =>
        (await store.suppressions.match(mailbox, ['BOB@x.test', 'eve@x.test', 'nobody@x.test'])).map((s) => s.address);
      assert.deepEqual((await match('a@x.test')).sort(), ['bob@x.test', 'eve@x.test']);
      assert.deepEqual(await match('other@x.test'), ['bob@x.test']);
      assert.deepEqual(await store.suppressions.match('a@x.test', []), []);
      const first = await store.suppressions.list({ limit: 1 });
      assert.deepEqual([first[0]?.address, first[0]?.reason, first[0]?.note], ['bob@x.test', 'bounce', '550']);
      assert.deepEqual(
        (await store.suppressions.list({ limit: 9, after: first[0]! })).map((s) => s.mailbox),
        ['a@x.test'],
      );
      assert.equal((await store.suppressions.list({ limit: 9, mailboxes: ['a@x.test'] })).length, 1);
      assert.equal(await store.suppressions.remove('BOB@x.test', '*'), true);
      assert.equal(await store.suppressions.remove('bob@x.test', '*'), false);
    });

    test('puts events in line once, however many processes look', async () => {
      const { id } = await hook();
      const lines = await Promise.all(
        [1, 2, 3].map(() => store.webhooks.enqueue(id, { from: 0, to: 7 }, [delivery()])),
      );
      assert.equal(lines.filter(Boolean).length, 1);
      assert.equal((await store.webhooks.deliveries(id, { limit: 9 })).length, 1);
      assert.equal((await store.webhooks.find(id))?.cursor, 7);
      assert.equal(await store.webhooks.remove(id), true);
      assert.deepEqual(await store.webhooks.deliveries(id, { limit: 9 }), []);
    });

    test('gives deliveries of one key in order, each to one taker', async () => {
      const { id } = await hook();
      const [a1, a2, b1] = [delivery(), delivery(), delivery({ orderingKey: 'msg_2' })];
      await store.webhooks.enqueue(id, { from: 0, to: 3 }, [a1, a2, b1]);
      const claim = { webhookId: id, now: 10, until: 50, limit: 9 };
      const takers = await Promise.all([1, 2].map(() => store.webhooks.claim(claim)));
      assert.deepEqual(
        takers
          .flat()
          .map((d) => d.id)
          .sort(),
        [a1.id, b1.id].sort(),
      );
      const mine = takers.flat().find((d) => d.id === a1.id)!;
      const attempt = { at: 20, tookMs: 3, status: 500, problem: 'busy' };
      assert.equal(await store.webhooks.settle(mine, attempt, { type: 'again', at: 200 }), true);
      assert.deepEqual(
        await store.webhooks.claim({ ...claim, now: 49 }),
        [],
        'the later one waits for the earlier one',
      );
      // b1 was taken by somebody who died: it comes back, and the dead one's word counts no more.
      const [again] = await store.webhooks.claim({ ...claim, now: 60, until: 90 });
      assert.equal(again?.id, b1.id);
      const dead = takers.flat().find((d) => d.id === b1.id)!;
      assert.equal(await store.webhooks.settle(dead, attempt, { type: 'failed' }), false);
      assert.equal(await store.webhooks.settle(again, { at: 61, tookMs: 1, status: 204 }, { type: 'delivered' }), true);
      const [first] = await store.webhooks.claim({ ...claim, now: 200, until: 300 });
      assert.equal(first?.id, a1.id);
      assert.deepEqual(first?.attempts, [attempt]);
      await store.webhooks.settle(first, attempt, { type: 'failed' });
      assert.deepEqual(
        (await store.webhooks.claim({ ...claim, now: 200, until: 300 })).map((d) => d.id),
        [a2.id],
      );
      assert.equal(await store.webhooks.replay(id, { state: 'failed', since: 0 }, { now: 400, deadline: 900 }), 1);
      assert.equal(await store.webhooks.replay(id, { id: b1.id }, { now: 400, deadline: 900 }), 1);
      assert.equal(await store.webhooks.replay(id, { id: b1.id }, { now: 400, deadline: 900 }), 0, 'it is in line');
      assert.equal((await store.webhooks.findDelivery(id, b1.id))?.state, 'pending');
      assert.equal(await store.webhooks.findDelivery('whk_other', b1.id), undefined);
      assert.deepEqual((await store.webhooks.deliveries(id, { state: 'failed', limit: 9 })).length, 0);
    });

    test('A38: webhooks are bounded for a key and in all, and switched off once', async () => {
      const row = await hook({ apiKeyId: 'key_1' });
      const more = (apiKeyId: string | undefined) => ({ ...row, id: newId('whk'), apiKeyId });
      const all = (await store.webhooks.list()).length;
      assert.equal(await store.webhooks.insert(more('key_1'), { ofKey: 2, all: all + 2 }), true);
      assert.equal(await store.webhooks.insert(more('key_1'), { ofKey: 2, all: all + 2 }), false);
      assert.equal(await store.webhooks.insert(more('key_2'), { ofKey: 2, all: all + 2 }), true);
      assert.equal(await store.webhooks.insert(more(undefined), { ofKey: 2, all: all + 2 }), false);
      assert.equal((await store.webhooks.find(row.id))?.apiKeyId, 'key_1');
      assert.equal(await store.webhooks.disable(row.id, 7, 'why'), true);
      assert.equal(await store.webhooks.disable(row.id, 8, 'again'), false);
      assert.deepEqual((await store.webhooks.find(row.id))?.state, { type: 'disabled', since: 7, reason: 'why' });
    });

    test('A55: deliveries are shown and put in line by the mailbox of their event', async () => {
      const { id } = await hook();
      const boxes = ['a@x.test', 'b@x_y.test', 'b@xzy.test', undefined];
      const rows = boxes.map((mailbox) => delivery({ mailbox, orderingKey: newId('msg') }));
      await store.webhooks.enqueue(id, { from: 0, to: 1 }, rows);
      const shown = async (...mailboxes: string[]) =>
        (await store.webhooks.deliveries(id, { limit: 9, mailboxes })).map(({ mailbox }) => mailbox).toReversed();
      assert.deepEqual(await shown('*'), boxes);
      assert.deepEqual(await shown(), [undefined]);
      assert.deepEqual(await shown('a@x.test', 'c@x.test'), ['a@x.test', undefined]);
      assert.deepEqual(await shown('*@x_y.test'), ['b@x_y.test', undefined]);
      for (const due of await store.webhooks.claim({ webhookId: id, now: 10, until: 50, limit: 9 }))
        await store.webhooks.settle(due, { at: 10, tookMs: 1 }, { type: 'failed' });
      const times = { now: 400, deadline: 900 };
      const which = { state: 'failed', since: 0 } as const;
      const lists = [['*'], ['a@x.test', 'b@xzy.test'], ['*@xzy.test']];
      assert.equal(await store.webhooks.replay(id, { ...which, mailboxes: lists }, times), 2);
      assert.deepEqual(
        (await store.webhooks.deliveries(id, { limit: 9, state: 'pending' })).map(({ mailbox }) => mailbox),
        [undefined, 'b@xzy.test'],
      );
    });

    test('says whose deliveries are due; disabled webhooks have none', async () => {
      const one = await hook();
      await store.webhooks.enqueue(one.id, { from: 0, to: 1 }, [delivery({ createdAt: 5000 })]);
      const before = await store.webhooks.due(4000);
      assert.ok(!before.webhookIds.includes(one.id) && before.nextAt !== undefined && before.nextAt <= 5000);
      assert.ok((await store.webhooks.due(5000)).webhookIds.includes(one.id));
      const state = { type: 'disabled', since: 1, reason: 'gone' } as const;
      assert.deepEqual((await store.webhooks.update(one.id, { state, types: ['message.sent'] }))?.state, state);
      assert.ok(!(await store.webhooks.due(5000)).webhookIds.includes(one.id));
      assert.equal(await store.webhooks.update('whk_none', { url: 'x' }), undefined);
      const [only] = await store.webhooks.claim({ webhookId: one.id, now: 5000, until: 5001, limit: 1 });
      await store.webhooks.settle(only!, { at: 6000, tookMs: 1 }, { type: 'failed' });
      await store.webhooks.prune(6001);
      assert.deepEqual(await store.webhooks.deliveries(one.id, { limit: 9 }), []);
    });

    test('gives the chunks of an upload an owner, and removes them with it', async () => {
      const id = newId('upl');
      const row = {
        id,
        principal: 'key_1',
        filename: 'a.pdf',
        contentType: 'application/pdf',
        size: 3,
        key: Uint8Array.of(9),
        chunks: 1,
        createdAt: 1,
        expiresAt: 100,
      };
      await assert.rejects(store.uploads.insert(row), (error) => isError(error, 'store.swept'));
      await store.outbox.addChunks(id, 1, [{ number: 0, data: Uint8Array.of(7) }]);
      await store.uploads.insert(row);
      await store.outbox.dropOrphans(1_000_000);
      assert.deepEqual([...(await store.outbox.chunk(id, 0))!], [7]);
      const found = await store.uploads.find(id);
      assert.deepEqual(found && { ...found, key: [...found.key] }, { ...row, key: [9] });
      await store.uploads.prune(99);
      assert.ok(await store.uploads.find(id));
      await store.uploads.prune(100);
      assert.equal(await store.uploads.find(id), undefined);
      assert.equal(await store.outbox.chunk(id, 0), undefined);
      assert.equal(await store.uploads.remove(id), false);
    });
  });
}
