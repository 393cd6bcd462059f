/** What ends with a mailbox. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { Audit, AuditEntry } from '../audit/types.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { Secret } from '../base/secret.ts';
import { openStore } from '../store/open.ts';
import { environmentKey } from '../vault/key-source.ts';
import { openVault } from '../vault/open.ts';
import { createApiKey } from './api-key.ts';
import { opens } from './api-sign-in.ts';
import { createAppPassword } from './app-password.ts';
import { openersOf, withdrawMailbox } from './withdraw.ts';

const BOB = 'bob@x.test';
const ALICE = 'alice@x.test';

async function bench(t: { after(work: () => Promise<void>): void }) {
  const clock = new ManualClock();
  const store = await openStore('sqlite::memory:', { clock });
  t.after(() => store.close());
  const vault = await openVault(store.settings, environmentKey(new Secret(randomBytes(32).toString('base64url'))));
  const entries: AuditEntry[] = [];
  const audit: Audit = {
    record: (entry) => Promise.resolve(void entries.push(entry)),
    note: (entry) => void entries.push(entry),
    along: async (entry, work) => {
      const result = await work();
      if (result !== false) entries.push(entry);
      return result;
    },
    ready: () => Promise.resolve(),
    flush: () => Promise.resolve(),
  };
  const deps = { store, vault, audit, clock };
  return {
    deps,
    store,
    entries,
    key: async (...mailboxes: string[]) =>
      (await createApiKey(deps, { label: 'key', actions: ['*'], mailboxes, networks: [] })).row.id,
    password: async (...mailboxes: string[]) =>
      (await createAppPassword(deps, { label: 'pw', mailboxes, protocols: ['imap'], networks: [] })).row.id,
  };
}

test('A42: whoever was let into a mailbox that was removed is not let into the next one of its address', async (t) => {
  const { deps, store, entries, key, password } = await bench(t);
  const [only, both, all] = [await key(BOB), await key(BOB, ALICE), await key('*')];
  const [pwOnly, pwBoth, pwAlice] = [await password(BOB), await password(ALICE, BOB), await password(ALICE)];
  await store.webhooks.insert({
    id: 'whk_1',
    apiKeyId: both,
    url: 'https://x.test/',
    types: [],
    mailboxes: [BOB],
    secrets: Uint8Array.of(1),
    state: { type: 'enabled' },
    cursor: 0,
    createdAt: 1,
  });
  const done = await withdrawMailbox(deps, BOB);
  const ends = (all: typeof done.apiKeys) => new Map(all.map(({ id, revoked }) => [id, revoked]));
  assert.deepEqual(
    [ends(done.apiKeys), ends(done.appPasswords)],
    [
      new Map([
        [only, true],
        [both, false],
      ]),
      new Map([
        [pwOnly, true],
        [pwBoth, false],
      ]),
    ],
  );
  const keys = new Map((await store.apiKeys.list()).map((row) => [row.id, row]));
  assert.deepEqual([opens(keys.get(only)!, BOB), keys.get(only)!.revokedAt !== undefined], [false, true]);
  assert.deepEqual(
    [opens(keys.get(both)!, BOB), opens(keys.get(both)!, ALICE), keys.get(both)!.revokedAt],
    [false, true, undefined],
  );
  assert.ok(opens(keys.get(all)!, BOB), 'what opens every mailbox stays');
  assert.deepEqual((await store.appPasswords.find(pwBoth))!.mailboxes, [ALICE]);
  assert.notEqual((await store.appPasswords.find(pwOnly))!.revokedAt, undefined);
  assert.equal((await store.appPasswords.find(pwAlice))!.revokedAt, undefined);
  const hook = (await store.webhooks.find('whk_1'))!;
  assert.deepEqual([hook.mailboxes, hook.state.type], [[], 'disabled']);
  const told = entries.filter(({ data }) => data!['reason'] === 'mailbox-removed').map(({ type }) => type);
  assert.deepEqual(told.toSorted(), [
    'api-key.narrowed',
    'api-key.revoked',
    'app-password.narrowed',
    'app-password.revoked',
  ]);
  assert.deepEqual(await openersOf(deps, BOB), []);
  assert.deepEqual(await withdrawMailbox(deps, BOB), { appPasswords: [], apiKeys: [], webhooks: [] });
});

test('A42: with the mailbox of a domain go the names it opened, but not those that have a mailbox of their own', async (t) => {
  const { deps, store, key, password } = await bench(t);
  await store.applications.insert({
    id: 'app_1',
    name: 'work',
    provider: 'microsoft',
    clientId: 'client',
    tenant: 'x.test',
    settings: {},
    credential: undefined,
    createdAt: 1,
  });
  await store.grants.insert({
    id: 'grt_1',
    applicationId: 'app_1',
    flow: 'authorization-code',
    identity: ALICE,
    subject: undefined,
    scopes: [],
    state: { type: 'active', since: 1, accessExpiresAt: 2 },
    tokens: undefined,
    generation: 0,
    createdAt: 1,
  });
  await store.mailboxes.insert({
    address: ALICE,
    grantId: 'grt_1',
    access: 'own',
    protocols: ['imap'],
    settings: {},
    createdAt: 1,
  });
  const [domain, bob, alice] = [await password('*@x.test'), await key(BOB), await key(ALICE)];
  assert.deepEqual(await openersOf(deps, BOB), [`${domain} (pw)`, `${bob} (key)`]);
  const done = await withdrawMailbox(deps, '*@x.test');
  assert.deepEqual(
    [...done.appPasswords, ...done.apiKeys].map(({ id }) => id),
    [domain, bob],
  );
  assert.equal((await store.apiKeys.find(alice))!.revokedAt, undefined);
});
