/** The outbox's tables: one contract, two engines. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { without } from '../../test/bed/need.ts';
import { type Postgres, startPostgres } from '../../test/bed/postgres.ts';
import { newId } from './id.ts';
import { openStore } from './open.ts';
import type { Store } from './types.ts';
import type { MessageState, NewMessage } from './types-outbox.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-outbox-'));
const noPostgres = without('postgresql');
let postgres: Postgres | undefined;
before(async () => {
  if (noPostgres === false) postgres = await startPostgres();
});
after(async () => {
  await postgres?.stop();
  rmSync(folder, { recursive: true });
});

const NOW = 1_800_000_000_000;

function fresh(change: Partial<NewMessage['message']> = {}, more: Partial<NewMessage> = {}): NewMessage {
  const id = newId('msg');
  return {
    message: {
      id,
      mailbox: 'alice@contoso.test',
      source: 'smtp',
      principal: 'apw_1',
      envelopeFrom: 'alice@contoso.test',
      recipients: [{ address: 'bob@contoso.test', state: 'pending', notify: ['FAILURE'] }],
      messageId: `<${id}@contoso.test>`,
      size: 5,
      lane: 'normal',
      dsn: { ret: 'HDRS' },
      smtputf8: false,
      eightBit: true,
      deadline: NOW + 1000,
      state: { type: 'queued', nextAt: NOW },
      bodyId: newId('bod'),
      key: Buffer.from('key'),
      chunks: 1,
      createdAt: NOW,
      ...change,
    },
    chunks: [{ number: 0, data: Buffer.from('hello') }],
    events: [{ at: NOW, type: 'accepted', data: { size: 5 } }],
    ...more,
  };
}

for (const engine of ['sqlite', 'sqlite with a thread', 'postgres'] as const) {
  describe(engine, { skip: engine === 'postgres' && noPostgres }, () => {
    let store: Store;
    let outbox: Store['outbox'];
    before(async () => {
      store = await openStore(
        engine === 'postgres' ? await postgres!.freshDatabase() : `sqlite:${join(folder, `${engine}.db`)}`,
        {
          writer: engine === 'sqlite with a thread' ? 'thread' : 'here',
        },
      );
      outbox = store.outbox;
    });
    after(() => store.close());
    const box = (): string => `${newId('box')}@contoso.test`;
    const claim = (mailbox: string, limit = 10, now = NOW) =>
      outbox.claim({ mailbox, now, until: now + 60_000, owner: 'me', limit });

    test('N12: what was sent, and what was done, by whom, from where, and when', async () => {
      const from = (address: string, principal: string, createdAt: number) =>
        fresh({ remoteAddress: address, principal, createdAt, state: { type: 'sent', at: createdAt } });
      const made = [
        from('192.0.2.7', 'device a', NOW),
        from('192.0.2.7', 'apw_2', NOW + 10),
        from('192.0.2.8', 'apw_2', NOW + 20),
      ];
      await outbox.insert(made);
      const listed = async (filter: Parameters<Store['outbox']['list']>[0]) =>
        (await outbox.list(filter, { limit: 10 })).map(({ id }) => made.findIndex(({ message }) => message.id === id));
      assert.deepEqual(await listed({ remoteAddress: '192.0.2.7' }), [1, 0]);
      assert.deepEqual(await listed({ principal: 'apw_2', remoteAddress: '192.0.2.7' }), [1]);
      assert.deepEqual(await listed({ principal: 'apw_2', since: NOW + 11, until: NOW + 21 }), [2]);
      assert.deepEqual(await listed({ remoteAddress: '192.0.2.7', until: NOW + 10 }), [0]);
      assert.equal((await outbox.find(made[0]!.message.id))!.remoteAddress, '192.0.2.7');
      const record = (at: number, data: Readonly<Record<string, unknown>>) => ({
        at,
        type: 'message.relayed',
        outcome: 'ok' as const,
        sessionId: undefined,
        mailbox: 'n12@x.test',
        data,
      });
      await store.audit.append([
        record(NOW, { remoteAddress: '192.0.2.7', appPasswordId: 'apw_1' }),
        record(NOW + 10, { remoteAddress: '192.0.2.8', appPasswordId: 'apw_1' }),
        record(NOW + 20, { remoteAddress: '192.0.2.7' }),
      ]);
      const found = async (filter: Partial<Parameters<Store['audit']['latest']>[0]>) =>
        (await store.audit.latest({ mailbox: 'n12@x.test', limit: 10, ...filter })).map(({ at }) => at - NOW);
      assert.deepEqual(await found({ remoteAddress: '192.0.2.7' }), [20, 0]);
      assert.deepEqual(await found({ appPasswordId: 'apw_1', since: NOW + 1 }), [10]);
      assert.deepEqual(await found({ since: NOW, until: NOW + 20 }), [10, 0]);
    });

    test('what is inserted is found whole, in order, with its octets and its first event', async () => {
      const batch = [fresh(), fresh({ lane: 'urgent', smtputf8: true, eightBit: false }), fresh()];
      const done = await outbox.insert(batch);
      assert.deepEqual(
        done.map(({ type }) => type),
        ['inserted', 'inserted', 'inserted'],
      );
      for (const { message, chunks } of batch) {
        const { seq, attempts, fence, finishedAt, ...found } = (await outbox.find(message.id))!;
        assert.deepEqual({ ...found, key: Buffer.from(found.key) }, message);
        assert.deepEqual({ attempts, fence, finishedAt }, { attempts: 0, fence: 1, finishedAt: undefined });
        assert.ok(seq > 0);
        assert.deepEqual(Buffer.from((await outbox.chunk(message.bodyId, 0))!), chunks[0]!.data);
        assert.equal(await outbox.chunk(message.bodyId, 1), undefined);
        const events = await outbox.events({ messageId: message.id, limit: 10 });
        assert.deepEqual(
          events.map(({ type, data }) => ({ type, data })),
          [{ type: 'accepted', data: { size: 5 } }],
        );
      }
      const listed = await outbox.list({}, { limit: 2 });
      assert.deepEqual(
        listed.map(({ id }) => id),
        [batch[2]!.message.id, batch[1]!.message.id],
      );
      const older = await outbox.list({}, { before: listed[1]!.seq, limit: 1 });
      assert.equal(older[0]!.id, batch[0]!.message.id);
    });

    test('every state goes through the table unchanged', async () => {
      const states: MessageState[] = [
        { type: 'held', since: NOW, reason: 'by hand' },
        { type: 'queued', nextAt: NOW + 5 },
        { type: 'sending', owner: 'x', until: NOW + 6 },
        { type: 'sent', at: NOW + 7 },
        { type: 'failed', at: NOW + 8, code: 'outbox.refused', reason: 'no' },
        { type: 'cancelled', at: NOW + 9 },
      ];
      const { message } = fresh({ mailbox: box() });
      await outbox.insert([fresh(message)]);
      const { id } = (await outbox.list({ mailbox: message.mailbox }, { limit: 1 }))[0]!;
      for (const [index, state] of states.entries()) {
        const changed = await outbox.change(id, index + 1, { state }, [{ at: NOW, type: 'held', data: { index } }]);
        assert.deepEqual(changed?.state, state);
        assert.equal(changed?.finishedAt, 'at' in state ? state.at : undefined);
      }
      assert.equal(await outbox.change(id, 1, { state: states[0]! }, []), undefined, 'an old fence changes nothing');
      assert.equal((await outbox.find(id))!.state.type, 'cancelled');
    });

    test('a key that was used gives the first message, and nothing is inserted', async () => {
      const idempotency = { scope: newId('apw'), key: 'k', fingerprint: 'f', at: NOW, keepMs: 60_000 };
      const first = fresh({}, { idempotency });
      const other = fresh({}, { idempotency: { ...idempotency, fingerprint: 'g' } });
      const done = await outbox.insert([first, fresh(), other]);
      assert.deepEqual(
        done.map(({ type }) => type),
        ['inserted', 'inserted', 'known'],
      );
      assert.deepEqual(done[2], { type: 'known', messageId: first.message.id, fingerprint: 'f' });
      assert.equal(await outbox.find(other.message.id), undefined);
      assert.equal(await outbox.chunk(other.message.bodyId, 0), undefined);
      const over = { ...idempotency, key: 'over', keepMs: 0 };
      for (const _ of [1, 2])
        assert.equal(
          (await outbox.insert([fresh({}, { idempotency: over })]))[0]!.type,
          'inserted',
          'its time is over',
        );
    });

    test('claims: urgent first, then in order; nobody takes what is taken; due ones only', async () => {
      const mailbox = box();
      const batch = [
        fresh({ mailbox }),
        fresh({ mailbox }),
        fresh({ mailbox, lane: 'urgent' }),
        fresh({ mailbox, state: { type: 'queued', nextAt: NOW + 1 } }),
      ];
      await outbox.insert(batch);
      const ids = batch.map(({ message }) => message.id);
      const due = async (): Promise<readonly string[]> => (await outbox.dueMailboxes(NOW)).map((each) => each.mailbox);
      assert.ok((await due()).includes(mailbox));
      const [first, second] = await Promise.all([claim(mailbox, 2), claim(mailbox, 2)]);
      const taken = [...first, ...second].map(({ id }) => id);
      assert.deepEqual(taken.toSorted(), [ids[0]!, ids[1]!, ids[2]!].toSorted());
      assert.ok(first[0]!.id === ids[2] || second[0]!.id === ids[2], 'the urgent one goes first');
      assert.equal(first[0]!.attempts, 1);
      assert.deepEqual(await claim(mailbox), []);
      assert.ok(!(await due()).includes(mailbox));
      assert.ok((await outbox.nextDue())! <= NOW + 1);
      assert.equal((await claim(mailbox, 10, NOW + 1))[0]!.id, ids[3]);
    });

    test('an attempt whose process died is taken over once its time is up, prolonged ones are not', async () => {
      const mailbox = box();
      await outbox.insert([fresh({ mailbox }), fresh({ mailbox })]);
      const mine = await claim(mailbox);
      await outbox.prolong('me', [mine[0]!.id], NOW + 120_000);
      const over = (now: number) => outbox.takeOver({ now, until: now + 60_000, owner: 'you', limit: 10 });
      const taken = (await over(NOW + 60_000)).filter((message) => message.mailbox === mailbox);
      assert.deepEqual(
        taken.map(({ id, attempts }) => ({ id, attempts })),
        [{ id: mine[1]!.id, attempts: 1 }],
      );
      assert.equal(
        await outbox.change(mine[1]!.id, mine[1]!.fence, { state: { type: 'sent', at: NOW } }, []),
        undefined,
      );
      assert.ok(await outbox.change(taken[0]!.id, taken[0]!.fence, { state: { type: 'sent', at: NOW } }, []));
    });

    test('octets that came before their message are kept with it, and dropped without it', async () => {
      const long = fresh({ chunks: 2, mailbox: box() }, { chunks: [{ number: 1, data: Buffer.from('end') }] });
      await outbox.addChunks(long.message.bodyId, NOW, [{ number: 0, data: Buffer.from('begin') }]);
      await outbox.addChunks('bod_lost', NOW, [{ number: 0, data: Buffer.from('lost') }]);
      await outbox.insert([long]);
      assert.equal(await outbox.dropOrphans(NOW + 1), 1);
      assert.equal(await outbox.chunk('bod_lost', 0), undefined);
      assert.deepEqual(Buffer.from((await outbox.chunk(long.message.bodyId, 0))!).toString(), 'begin');
    });

    test('other octets take the place of the old ones', async () => {
      const before = fresh({ mailbox: box() });
      await outbox.insert([before]);
      const bodyId = newId('bod');
      await outbox.addChunks(bodyId, NOW, [{ number: 0, data: Buffer.from('other') }]);
      const body = { bodyId, key: Buffer.from('key2'), chunks: 1, size: 6, eightBit: false };
      const changed = await outbox.change(before.message.id, 1, { body }, []);
      assert.deepEqual([changed!.bodyId, changed!.size, changed!.eightBit], [bodyId, 6, false]);
      assert.equal(await outbox.chunk(before.message.bodyId, 0), undefined);
      assert.equal(await outbox.dropOrphans(NOW + 1), 0);
      assert.equal(Buffer.from((await outbox.chunk(bodyId, 0))!).toString(), 'other');
    });

    test('of several who change an entry of the ledger at once one is told that it did', async () => {
      const name = newId('led');
      const all = (before: string | undefined, after: string) =>
        Promise.all(Array.from({ length: 8 }, () => outbox.swapEntry(name, before, after)));
      assert.equal(await outbox.entry(name), undefined);
      assert.equal((await all(undefined, 'a')).filter(Boolean).length, 1);
      assert.equal((await all('a', 'b')).filter(Boolean).length, 1);
      assert.equal(await outbox.swapEntry(name, 'a', 'c'), false);
      assert.equal(await outbox.swapEntry(name, undefined, 'c'), false);
      assert.equal(await outbox.entry(name), 'b');
    });

    test('filters, figures, forgetting', async () => {
      const mailbox = box();
      const batch = [fresh({ mailbox, createdAt: NOW - 7 }), fresh({ mailbox })];
      batch[1] = fresh({ mailbox, recipients: [{ address: 'odd%_"name"@contoso.test', state: 'pending' }] });
      await outbox.insert(batch);
      assert.equal((await outbox.list({ mailbox, recipient: 'odd%_"name"@contoso.test' }, { limit: 9 })).length, 1);
      assert.equal((await outbox.list({ mailbox, states: ['sent', 'failed'] }, { limit: 9 })).length, 0);
      assert.equal((await outbox.list({ messageId: batch[0]!.message.messageId }, { limit: 9 })).length, 1);
      assert.deepEqual(await outbox.stats(NOW, mailbox), { queued: 2, sending: 0, held: 0, oldestDueAt: NOW - 7 });
      const message = (await outbox.list({ mailbox }, { limit: 1 }))[0]!;
      await outbox.change(message.id, message.fence, { state: { type: 'sent', at: 5 } }, []);
      assert.ok((await outbox.prune({ finishedBefore: 6, at: NOW, limit: 100 })) >= 1);
      assert.equal(await outbox.find(message.id), undefined);
      assert.equal(await outbox.chunk(message.bodyId, 0), undefined);
    });

    test('watchers hear of messages, and events are read on from where one stopped', async () => {
      const heard = new Promise<void>((resolve) => {
        const watch = store.watch('outbox', () => {
          watch.stop();
          resolve();
        });
      });
      const mailbox = box();
      const last = (await outbox.events({ limit: 100_000 })).at(-1)?.seq ?? 0;
      await outbox.insert([fresh({ mailbox })]);
      await heard;
      const [event, ...more] = await outbox.events({
        after: last,
        mailboxes: [mailbox],
        types: ['accepted'],
        limit: 10,
      });
      assert.equal(more.length, 0);
      await outbox.note({ id: event!.messageId, mailbox }, [{ at: NOW, type: 'bounced', data: { why: 'ü' } }]);
      const [next] = await outbox.events({ after: event!.seq, mailboxes: [mailbox], limit: 10 });
      assert.deepEqual({ type: next!.type, data: next!.data }, { type: 'bounced', data: { why: 'ü' } });
    });
  });
}

for (const engine of ['sqlite', 'postgres'] as const)
  test(
    `Q7: deadlines of more messages than one statement takes are moved, each once, on ${engine}`,
    { skip: engine === 'postgres' && noPostgres },
    async () => {
      const store = await openStore(
        engine === 'postgres' ? await postgres!.freshDatabase() : `sqlite:${join(folder, 'many.db')}`,
      );
      const many = Array.from({ length: 4500 }, (_, at) =>
        fresh({ mailbox: `box${at % 3}@contoso.test`, deadline: NOW + 1e6 }),
      );
      for (let at = 0; at < many.length; at += 500) await store.outbox.insert(many.slice(at, at + 500));
      await store.outbox.prolongDeadlines({ from: NOW + 1, to: NOW + 11 });
      await store.outbox.prolongDeadlines({ mailboxes: ['box1@contoso.test'], from: NOW + 1, to: NOW + 101 });
      for (const { message } of many) {
        const moved = message.mailbox === 'box1@contoso.test' ? 110 : 10;
        assert.equal((await store.outbox.find(message.id))?.deadline, NOW + 1e6 + moved);
      }
      await store.close();
    },
  );

test(
  'K65: claims that are prolonged and changed at the same time never wait for one another in a circle',
  { skip: noPostgres },
  async () => {
    const url = await postgres!.freshDatabase();
    const [here, there] = [await openStore(url), await openStore(url)];
    const mailbox = 'crowd@contoso.test';
    await here.outbox.insert(Array.from({ length: 80 }, () => fresh({ mailbox, deadline: NOW + 1e9 })));
    const until = NOW + 60_000;
    const claimed = await here.outbox.claim({ mailbox, now: NOW, until, owner: 'me', limit: 80 });
    const ids = claimed.map(({ id }) => id);
    const fences = new Map(claimed.map(({ id, fence }) => [id, fence]));
    for (let round = 0; round < 12; round++) {
      // The same rows in another order each time, and again and again at another place of the table.
      const turned = [...ids.slice(round * 6), ...ids.slice(0, round * 6)].reverse();
      const [, , changed] = await Promise.all([
        here.outbox.prolong('me', ids, until + round),
        there.outbox.prolong('me', turned, until + round),
        there.outbox.changeAll(
          turned.map((id) => ({ id, fence: fences.get(id)!, change: { deadline: NOW + 1e9 + round }, events: [] })),
        ),
        here.outbox.prolongDeadlines({ from: NOW, to: NOW + 1 }),
      ]);
      assert.deepEqual(
        changed.map((message) => message?.id),
        turned,
      );
      for (const message of changed) fences.set(message!.id, message!.fence);
    }
    await Promise.all([here.close(), there.close()]);
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const name = new URL(url).pathname.slice(1);
    const { rows } = await client.query('SELECT deadlocks FROM pg_stat_database WHERE datname = $1', [name]);
    await client.end();
    assert.equal(Number((rows[0] as { deadlocks: string }).deadlocks), 0);
  },
);
