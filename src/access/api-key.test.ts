/** API keys from making to revoking, on a real store. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, test } from 'node:test';
import type { Audit, AuditEntry } from '../audit/types.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { isError } from '../base/error.ts';
import { Secret } from '../base/secret.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/types.ts';
import { environmentKey } from '../vault/key-source.ts';
import { openVault } from '../vault/open.ts';
import type { Vault } from '../vault/types.ts';
import { createApiKey, type NewApiKey, revokeApiKey } from './api-key.ts';
import { allows, type ApiSignIn, openApiSignIn, opens } from './api-sign-in.ts';

let clock: ManualClock;
let store: Store;
let vault: Vault;
let signIn: ApiSignIn;
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
const HERE = '192.0.2.1';

beforeEach(async () => {
  clock = new ManualClock();
  entries.length = 0;
  store = await openStore('sqlite::memory:', { clock });
  vault = await openVault(store.settings, environmentKey(new Secret(randomBytes(32).toString('base64url'))));
  signIn = await openApiSignIn({ store, vault, clock });
});
afterEach(async () => {
  signIn.close();
  await store.close();
});

const make = (change: Partial<NewApiKey> = {}) =>
  createApiKey(
    { store, vault, audit, clock },
    { label: 'shop', actions: ['messages:send'], mailboxes: ['*'], networks: [], ...change },
  );
const outcome = async (key: Secret, from = HERE): Promise<string> => {
  const result = await signIn.verify(key, from);
  return result.type === 'refused' ? result.reason : result.type;
};

test('a key opens what it names, and is kept as a keyed hash only', async () => {
  const { key, row } = await make({ actions: ['messages:*', 'events:read'], mailboxes: ['Alice@x.test'] });
  const result = await signIn.verify(key, HERE);
  assert.ok(result.type === 'accepted' && result.key.id === row.id);
  assert.match(key.reveal(), /^postern_[0-9a-z]{32}$/);
  assert.ok(!JSON.stringify([await store.apiKeys.list(), entries]).includes(key.reveal().slice(8)));
  assert.equal(allows(row, 'messages:content'), true);
  assert.equal(allows(row, 'templates:read'), false);
  assert.equal(opens(row, 'ALICE@x.test'), true);
  assert.equal(opens(row, 'bob@x.test'), false);
  assert.equal(allows((await make({ actions: ['*'] })).row, 'webhooks:write'), true);
  assert.deepEqual(
    entries.map(({ type }) => type),
    ['api-key.created', 'api-key.created'],
  );
});

test('wrong, expired, revoked and foreign keys are told apart here, not outside', async () => {
  assert.equal(await outcome(new Secret('postern_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')), 'unknown');
  const { key, row } = await make({ networks: ['10.0.0.0/8'], expiresAt: clock.now() + 1000 });
  assert.equal(await outcome(key), 'wrong-network');
  assert.equal(await outcome(key, '::ffff:10.1.2.3'), 'accepted');
  await clock.advance(1000);
  assert.equal(await outcome(key, '10.1.2.3'), 'expired');
  assert.equal(await revokeApiKey({ store, audit, clock }, row.id), true);
  assert.equal(await revokeApiKey({ store, audit, clock }, row.id), false);
  assert.equal(await outcome(key, '10.1.2.3'), 'revoked');
});

test('word that arrives while a key is being read is not lost', async () => {
  const { key, row } = await make();
  const { byHash } = store.apiKeys;
  Object.assign(store.apiKeys, {
    byHash: async (hash: string) => {
      const found = await byHash(hash);
      await revokeApiKey({ store, audit, clock }, row.id);
      return found;
    },
  });
  assert.equal(await outcome(key), 'accepted', 'it was read before');
  assert.equal(await outcome(key), 'revoked', 'and not kept');
});

test('a key that was revoked is refused within five seconds, should no word of it come', async () => {
  const deaf: Store = { ...store, watch: () => ({ stop: () => undefined }) };
  const server = await openApiSignIn({ store: deaf, vault, clock });
  const { key, row } = await make();
  const verified = async (): Promise<string> => (await server.verify(key, HERE)).type;
  assert.equal(await verified(), 'accepted');
  await revokeApiKey({ store, audit, clock }, row.id);
  await clock.advance(4_999);
  assert.equal(await verified(), 'accepted', 'from memory');
  await clock.advance(1);
  assert.equal(await verified(), 'refused');
  server.close();
});

test('what goes on for long hears once its key is revoked or has ended', async () => {
  const ended: string[] = [];
  const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
  const holds = async (id: string): Promise<boolean> => (await signIn.current(id)) !== undefined;
  const { row: one } = await make();
  const { row: other } = await make({ expiresAt: clock.now() + 60_000 });
  signIn.onEnd(one, () => ended.push('one'));
  signIn.onEnd(other, () => ended.push('other'));
  const gone = signIn.onEnd(one, () => ended.push('gone'));
  gone.stop();
  assert.deepEqual([await holds(one.id), await holds(other.id)], [true, true]);
  await revokeApiKey({ store, audit, clock }, one.id);
  await settled();
  assert.deepEqual(ended, ['one']);
  assert.equal(await holds(one.id), false);
  await clock.advance(59_999);
  await settled();
  assert.equal(await holds(other.id), true);
  await clock.advance(1);
  await settled();
  assert.deepEqual(ended, ['one', 'other']);
  assert.equal(await holds(other.id), false);
  assert.equal(await holds('key_unknown'), false);
});

test('many wrong keys are slowed, a right one never is', async () => {
  const results: string[] = [];
  for (let n = 0; n < 8; n++) results.push(await outcome(new Secret(`postern_${'b'.repeat(31)}${n}`)));
  assert.equal(results[0], 'unknown');
  assert.equal(results.at(-1), 'slow-down');
  assert.equal(await outcome((await make()).key), 'accepted');
});

test('a rate lets a minute’s requests through at once and then one at a time', async () => {
  const { key } = await make({ rate: 3 });
  const first = await Promise.all([1, 2, 3].map(() => outcome(key)));
  assert.deepEqual(first, ['accepted', 'accepted', 'accepted']);
  const over = await signIn.verify(key, HERE);
  assert.ok(over.type === 'over-rate' && over.waitMs === 20_000);
  await clock.advance(20_000);
  assert.equal(await outcome(key), 'accepted');
  assert.equal(await outcome(key), 'over-rate');
});

test('what a key is to allow is checked before anything is stored', async () => {
  const refused: readonly (readonly [Partial<NewApiKey>, string])[] = [
    [{ label: '' }, 'access.label'],
    [{ actions: [] }, 'access.actions'],
    [{ actions: ['messages:fly'] }, 'access.actions'],
    [{ mailboxes: [] }, 'access.mailboxes'],
    [{ networks: ['x'] }, 'access.network'],
  ];
  for (const [change, code] of refused) await assert.rejects(make(change), (error) => isError(error, code));
  assert.deepEqual(await store.apiKeys.list(), []);
});

test('L24: a rate is one for the installation, however many processes there are', async () => {
  const { key } = await make({ rate: 30 });
  const processes = await Promise.all([1, 2, 3].map(() => openApiSignIn({ store, vault, clock })));
  const pass = async (requests: number): Promise<number> => {
    let accepted = 0;
    for (let n = 0; n < requests; n++) {
      const { type } = await processes[n % 3]!.verify(key, HERE);
      if (type === 'accepted') accepted += 1;
      if (n % 40 === 39) await clock.advance(1000);
    }
    return accepted;
  };
  assert.equal(await pass(360), 34, 'a minute’s at once, and one every two seconds of the nine');
  for (const process of processes) process.close();
});

test('L24: a generous rate is counted without a write for each request', async () => {
  const { key } = await make({ rate: 60_000 });
  const { swapEntry } = store.outbox;
  let writes = 0;
  Object.assign(store.outbox, {
    swapEntry: (...args: Parameters<typeof swapEntry>) => {
      writes += 1;
      return swapEntry(...args);
    },
  });
  for (let n = 0; n < 1000; n++) assert.equal(await outcome(key), 'accepted');
  assert.ok(writes <= 10, `${writes} writes`);
});
