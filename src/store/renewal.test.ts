/** What is kept of grants: which are due, how renewal goes, what was tried, and notices. One contract, two engines. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { without } from '../../test/bed/need.ts';
import { type Postgres, startPostgres } from '../../test/bed/postgres.ts';
import { newId } from './id.ts';
import { openStore } from './open.ts';
import type { Application, Grant, Store } from './types.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-renewal-'));
const noPostgres = without('postgresql');
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
        { writer: engine === 'sqlite with a thread' ? 'thread' : 'here' },
      );
    });
    after(() => store.close());

    const application = (): Application => ({
      id: newId('app'),
      name: newId('name'),
      provider: 'microsoft',
      clientId: 'client',
      tenant: undefined,
      settings: {},
      credential: undefined,
      createdAt: 1_800_000_000_000,
    });
    const grantOf = async (change: Partial<Grant> = {}): Promise<Grant> => {
      const owner = application();
      if (change.applicationId === undefined) await store.applications.insert(owner);
      const row: Grant = {
        id: newId('grt'),
        applicationId: owner.id,
        flow: 'device-code',
        identity: 'alice@contoso.test',
        subject: undefined,
        scopes: ['offline_access'],
        state: { type: 'pending', since: 1 },
        tokens: undefined,
        generation: 0,
        createdAt: 2,
        ...change,
      };
      await store.grants.insert(row);
      return row;
    };

    test('P84: tries of a mailbox are remembered by protocol, unheard, and forgotten with another consent', async () => {
      const grant = await grantOf();
      const address = 'tried@contoso.test';
      await store.mailboxes.insert({
        address,
        grantId: grant.id,
        access: 'app-only',
        protocols: ['imap', 'smtp'],
        settings: {},
        createdAt: 3,
      });
      const failure = { code: 'check.mailbox-closed', reason: 'no licence' };
      await Promise.all([
        store.mailboxes.remember('Tried@Contoso.test', { imap: { at: 4, failure } }),
        store.mailboxes.remember(address, { smtp: { at: 5 } }),
        store.mailboxes.remember('gone@contoso.test', { smtp: { at: 5 } }),
      ]);
      await store.mailboxes.update(address, { suspended: undefined });
      const tried = async () => (await store.mailboxes.find(address))?.tried;
      assert.deepEqual(await tried(), { imap: { at: 4, failure }, smtp: { at: 5 } });
      await store.mailboxes.update(address, { grantId: grant.id });
      assert.equal(await tried(), undefined);
      await store.mailboxes.remove(address);
    });

    test('gives each due grant to one taker, the longest due first, and again when nobody settled it', async () => {
      const owner = application();
      await store.applications.insert(owner);
      const ids: string[] = [];
      for (const renewAt of [300, 100, 200, undefined, 5000]) {
        ids.push((await grantOf({ applicationId: owner.id, renewAt })).id);
      }
      const mine = [owner.id];
      assert.equal(await store.grants.nextDue(mine), 100);
      assert.equal(await store.grants.nextDue([]), undefined);
      const claim = { applicationIds: mine, now: 1000, until: 2000 };
      assert.deepEqual(await store.grants.claimDue({ ...claim, limit: 0 }), []);
      assert.deepEqual(await store.grants.claimDue({ ...claim, applicationIds: ['app_none'], limit: 9 }), []);
      assert.deepEqual(await store.grants.claimDue({ ...claim, limit: 1 }), [ids[1]]);
      const takers = await Promise.all([1, 2, 3].map(() => store.grants.claimDue({ ...claim, limit: 9 })));
      assert.deepEqual(takers.flat().sort(), [ids[0]!, ids[2]!].sort());
      assert.equal(await store.grants.nextDue(mine), 2000);
      assert.equal((await store.grants.find(ids[0]!))?.generation, 0, 'a claim disturbs no writer');
      assert.equal((await store.grants.claimDue({ ...claim, now: 2000, until: 3000, limit: 9 })).length, 3);
    });

    test('keeps what renewal knows beside the tokens, and makes due by it', async () => {
      const { id, applicationId } = await grantOf({ tokens: Uint8Array.of(1) });
      const renewal = { consentedAt: 1, renewedAt: 50 };
      const failing = { since: 60, attempts: 2, code: 'oauth.misconfigured', kind: 'misuse', reason: 'r', hint: 'h' };
      await store.grants.update(id, 0, { renewAt: 9000, renewal });
      assert.equal(await store.grants.makeDue(10, { type: 'failing', applicationId }), 0);
      assert.equal(await store.grants.makeDue(10, { type: 'renewed-after', time: 1_000_000 }), 0);
      await store.grants.update(id, 1, { renewal: { ...renewal, failing } });
      const seen = (await store.grants.overview()).find((row) => row.id === id);
      assert.ok(seen && !('tokens' in seen));
      assert.deepEqual([seen.renewAt, seen.renewal?.failing], [9000, failing]);
      assert.equal(await store.grants.makeDue(10, { type: 'failing', applicationId }), 1);
      assert.equal(await store.grants.nextDue([applicationId]), 10);
      await store.grants.update(id, 2, { renewAt: 9000, renewal: { ...renewal, renewedAt: 2_000_000 } });
      assert.ok((await store.grants.makeDue(20, { type: 'renewed-after', time: 1_000_000 })) >= 1);
      await store.grants.update(id, 3, { renewAt: undefined });
      assert.equal(await store.grants.nextDue([applicationId]), undefined);
      assert.equal((await store.grants.find(id))?.renewal?.renewedAt, 2_000_000);
    });

    test('raises one notice per cause, delivers it until it arrived, and says when it is over', async () => {
      const row = (cause: string) => ({ id: newId('ntc'), cause, body: { why: cause }, raisedAt: 1000 });
      const cause = newId('cause');
      const [first, ...others] = await Promise.all(
        [1, 2, 3].map(() => store.notices.raise(row(cause), ['mail', 'webhook'])),
      );
      assert.equal([first, ...others].filter(Boolean).length, 1);
      assert.equal((await store.notices.open()).filter((open) => open.cause === cause).length, 1);
      const claim = { now: 1000, until: 2000, limit: 10 };
      const claims = await Promise.all([store.notices.claimDeliveries(claim), store.notices.claimDeliveries(claim)]);
      const due = claims.flat().sort((a, b) => a.channel.localeCompare(b.channel));
      assert.deepEqual(
        due.map(({ channel, status, attempts }) => [channel, status, attempts]),
        [
          ['mail', 'raised', 0],
          ['webhook', 'raised', 0],
        ],
      );
      await store.notices.settle(due[0]!, { type: 'delivered', at: 1001 });
      await store.notices.settle(due[1]!, { type: 'again', at: 1500, problem: 'refused' });
      assert.deepEqual(await store.notices.claimDeliveries({ ...claim, now: 1499 }), []);
      const [again] = await store.notices.claimDeliveries({ ...claim, now: 1500 });
      assert.deepEqual([again?.channel, again?.attempts], ['webhook', 1]);
      const resolved = await store.notices.resolve(cause, 1600);
      assert.deepEqual([resolved?.body, resolved?.raisedAt], [{ why: cause }, 1000]);
      assert.equal(await store.notices.resolve(cause, 1600), undefined);
      // The webhook never heard that anything was wrong, so it need not hear that it is over.
      const over = await store.notices.claimDeliveries({ ...claim, now: 9000, until: 10_000 });
      assert.deepEqual(
        over.map(({ channel, status }) => [channel, status]),
        [['mail', 'resolved']],
      );
      await store.notices.settle(over[0]!, { type: 'given-up', problem: 'refused' });
      assert.equal(await store.notices.raise(row(cause), []), true, 'the same cause may come back');
      assert.ok(await store.notices.resolve(cause, 1700));
      await store.notices.prune(2000);
      assert.deepEqual(await store.notices.claimDeliveries({ ...claim, now: 20_000 }), []);
    });
  });
}
