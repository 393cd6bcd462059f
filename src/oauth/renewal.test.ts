/** A renewal beside others: its lease, and what becomes of an answer that is hard to store. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { openOutboxBed } from '../../test/bed/outbox.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { nullLog } from '../base/log.ts';
import { Secret } from '../base/secret.ts';
import { storeError } from '../store/errors.ts';
import type { Grant } from '../store/types.ts';
import { openCircuits } from './circuit.ts';
import type { TokenAnswer } from './engine.ts';
import type { Client } from './engines.ts';
import { openTokens, sealTokens } from './grant-tokens.ts';
import { renew, type Renewed } from './renewal.ts';
import { oauthError } from './errors.ts';
import type { RenewalDeps } from './renewal-deps.ts';
import { providerCode } from './renewal-settle.ts';

const HOUR = 3_600_000;

/** Processes on one store, and a provider that answers when it is told to. */
async function bench(t: TestContext) {
  const clock = new ManualClock();
  const { store, vault, mailbox, close } = await openOutboxBed({ clock });
  t.after(close);
  const { grantId } = mailbox;
  const asked: { readonly refreshToken: string; answer(): void }[] = [];
  const answerOf = (n: number): TokenAnswer => ({
    accessToken: new Secret(`access-${n}`),
    refreshToken: new Secret(`refresh-${n}`),
    idToken: undefined,
    expiresAt: clock.now() + HOUR,
    scopes: [],
  });
  const fail: { with: Error | undefined } = { with: undefined };
  const refresh = (refreshToken: Secret): Promise<TokenAnswer> =>
    new Promise((resolve, reject) => {
      if (fail.with) return reject(fail.with);
      const n = asked.length + 1;
      asked.push({ refreshToken: refreshToken.reveal(), answer: () => resolve(answerOf(n)) });
    });
  const client = {
    application: { name: 'work', clientId: 'c', tenant: undefined, settings: {} },
    delegated: { refresh },
    profile: { authorizationServer: 'https://login.test', inactivityMs: undefined, audiences: [] },
  } as unknown as Client;
  const process = (owner: string): RenewalDeps => ({
    store,
    vault,
    clock,
    log: nullLog,
    emit: () => Promise.resolve(),
    owner,
    client: () => Promise.resolve(client),
    circuits: openCircuits(clock),
  });
  const row = async (): Promise<Grant> => (await store.grants.find(grantId))!;
  const write = async (n: number, expiresAt: number): Promise<void> => {
    const { generation } = await row();
    const tokens = { ...answerOf(n), obtainedAt: clock.now(), expiresAt };
    const state = { type: 'active', since: clock.now(), accessExpiresAt: expiresAt } as const;
    const change = { tokens: await sealTokens(vault, grantId, tokens), state };
    assert.equal(await store.grants.update(grantId, generation, change), 'written');
  };
  await write(0, clock.now() - 1);
  const fresh = ({ expiresAt }: { readonly expiresAt: number }): boolean => expiresAt > clock.now();
  const renewed = (owner: string): Promise<Renewed> => renew(process(owner), grantId, fresh);
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 500) {
      await clock.advance(500);
      await turns();
    }
  };
  return { asked, clock, fail, grantId, pass, renewed, row, store, vault, write };
}

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
};
const nameOf = ({ tokens }: Renewed): string => tokens.accessToken.reveal();

test('however slow the provider is, nobody else asks it meanwhile, and all get what it answered', async (t) => {
  const { asked, pass, renewed } = await bench(t);
  const first = renewed('one');
  await turns();
  const second = renewed('two');
  await pass(50_000);
  assert.equal(asked.length, 1);
  asked[0]!.answer();
  await pass(1_000);
  assert.deepEqual([nameOf(await first), nameOf(await second)], ['access-1', 'access-1']);
  assert.deepEqual([(await first).requested, (await second).requested], [true, false]);
  assert.equal(asked.length, 1);
});

test('after a minute of somebody else’s renewal a caller is told “later”', async (t) => {
  const { asked, pass, renewed } = await bench(t);
  const first = renewed('one');
  await turns();
  const second = assert.rejects(renewed('two'), { code: 'oauth.provider-unreachable', kind: 'later' });
  await pass(61_000);
  await second;
  asked[0]!.answer();
  assert.equal(nameOf(await first), 'access-1');
});

test('the lease is free again right after a renewal, and after one that failed', async (t) => {
  const { asked, renewed, store, write, clock, grantId } = await bench(t);
  const first = renewed('one');
  await turns();
  asked[0]!.answer();
  await first;
  const lease = await store.leases.acquire(`grant/${grantId}`, 'other', 1_000);
  assert.ok(lease);
  await store.leases.release(lease);
  await write(5, clock.now() - 1);
  const failing = t.mock.method(store.grants, 'update', () => Promise.resolve('changed-meanwhile'));
  await assert.rejects(renewed('one'), { code: 'oauth.provider-busy' });
  failing.mock.restore();
  assert.ok(await store.leases.acquire(`grant/${grantId}`, 'other', 1_000));
});

test('an answer is stored although the lease was lost, as long as nobody else has written', async (t) => {
  const { asked, pass, renewed, row, store, grantId, vault } = await bench(t);
  const first = renewed('one');
  await turns();
  // As when this process stood still: another one took the lease, and died.
  const prolonging = t.mock.method(store.leases, 'renew', () => Promise.resolve(undefined));
  await pass(15_000);
  assert.ok(await store.leases.acquire(`grant/${grantId}`, 'dead', 15_000));
  asked[0]!.answer();
  await pass(20_000);
  assert.equal(nameOf(await first), 'access-1');
  assert.equal((await openTokens(vault, await row()))?.refreshToken?.reveal(), 'refresh-1');
  prolonging.mock.restore();
});

test('where somebody else wrote meanwhile, theirs counts and is what the caller gets', async (t) => {
  const { asked, clock, renewed, row, vault, write } = await bench(t);
  const first = renewed('one');
  await turns();
  await write(9, clock.now() + HOUR);
  asked[0]!.answer();
  assert.equal(nameOf(await first), 'access-9');
  assert.equal((await openTokens(vault, await row()))?.accessToken.reveal(), 'access-9');
});

test('a database that is away is tried with the answer in hand', async (t) => {
  const { asked, pass, renewed, row, store, vault } = await bench(t);
  const first = renewed('one');
  await turns();
  const away = (): Promise<never> => Promise.reject(storeError('store.unavailable', 'the database is away'));
  const update = t.mock.method(store.grants, 'update', away);
  asked[0]!.answer();
  await pass(100_000);
  update.mock.restore();
  await pass(6_000);
  assert.equal(nameOf(await first), 'access-1');
  assert.equal((await openTokens(vault, await row()))?.refreshToken?.reveal(), 'refresh-1');
});

test('K31: after two minutes whoever waits is told “later”; the answer is stored all the same when the database is back', async (t) => {
  const { asked, pass, renewed, row, store, vault } = await bench(t);
  const refused = assert.rejects(renewed('one'), { code: 'store.unavailable' });
  await turns();
  const away = (): Promise<never> => Promise.reject(storeError('store.unavailable', 'the database is away'));
  const update = t.mock.method(store.grants, 'update', away);
  asked[0]!.answer();
  await pass(130_000);
  await refused;
  await pass(HOUR);
  update.mock.restore();
  await pass(12_000);
  assert.equal((await openTokens(vault, await row()))?.refreshToken?.reveal(), 'refresh-1');
  assert.equal((await row()).state.type, 'active');
});

test('K31: a process that asked with the old token meanwhile, and was refused, does not cost the new one', async (t) => {
  const { asked, pass, renewed, row, store, vault } = await bench(t);
  const first = renewed('one');
  await turns();
  const { update } = store.grants;
  const away = t.mock.method(store.grants, 'update', () =>
    Promise.reject(storeError('store.unavailable', 'the database is away')),
  );
  asked[0]!.answer();
  await pass(2_000);
  // The other one has the database, and the lease of the first has run out.
  const { state, generation } = await row();
  assert.equal(state.type, 'renewing');
  const refused = { type: 'needs-consent', since: 1, code: 'oauth.answer-lost', reason: 'lost' } as const;
  assert.equal(await update((await row()).id, generation, { state: refused }), 'written');
  away.mock.restore();
  await pass(12_000);
  assert.equal(nameOf(await first), 'access-1');
  assert.equal((await row()).state.type, 'active');
  assert.equal((await openTokens(vault, await row()))?.refreshToken?.reveal(), 'refresh-1');
});

test('the provider’s word is told with its numbers, where it has any', () => {
  const codeOf = (detail: Record<string, unknown>): string | undefined =>
    providerCode(oauthError('oauth.needs-consent', 'x', { detail }));
  assert.equal(codeOf({ error: 'invalid_grant' }), 'invalid_grant');
  assert.equal(codeOf({ error: 'invalid_grant', error_codes: [] }), 'invalid_grant');
  assert.equal(codeOf({ error: 'invalid_grant', error_codes: [50_076, 1] }), 'invalid_grant AADSTS50076 AADSTS1');
  assert.equal(codeOf({ error_codes: [50_076] }), undefined);
});

test('whatever is in the way of asking a grant again that needs its owner, it goes on needing its owner', async (t) => {
  const { fail, pass, renewed, row, write } = await bench(t);
  await write(1, 0);
  fail.with = oauthError('oauth.needs-consent', 'sign in again', {
    detail: { error: 'interaction_required', error_codes: [50_076], mayBeLifted: true },
  });
  await assert.rejects(renewed('one'), { code: 'oauth.needs-consent' });
  const { state } = await row();
  assert.equal(state.type, 'needs-consent');
  const since = state.type === 'needs-consent' ? state.since : 0;
  await pass(2 * HOUR);
  fail.with = oauthError('oauth.provider-unreachable', 'connection refused');
  await assert.rejects(renewed('one'), { code: 'oauth.provider-unreachable' });
  const after = (await row()).state;
  assert.ok(after.type === 'needs-consent' && after.since === since && after.reason === 'sign in again');
});
