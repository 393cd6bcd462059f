/** App passwords from making to revoking, on a real store. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, test } from 'node:test';
import type { Audit, AuditEntry } from '../audit/types.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { isError } from '../base/error.ts';
import { Secret } from '../base/secret.ts';
import { openStore } from '../store/open.ts';
import { type Store } from '../store/types.ts';
import { PROTOCOLS, type Protocol } from '../store/protocols.ts';
import { environmentKey } from '../vault/key-source.ts';
import { openVault } from '../vault/open.ts';
import type { Vault } from '../vault/types.ts';
import { createAppPassword, type NewAppPassword, revokeAppPassword } from './app-password.ts';
import { resumeGrant, suspendGrant } from '../oauth/suspension.ts';
import { withdrawMailbox } from './withdraw.ts';
import { openSignIn } from './sign-in.ts';
import type { SignIn, SignInResult } from './types.ts';
import { editMailbox } from '../store/edit.ts';

const ALICE = 'alice@contoso.test';
const BOB = 'bob@contoso.test';
let clock: ManualClock;
let store: Store;
let vault: Vault;
let signIn: SignIn & { close(): void };
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

beforeEach(async () => {
  clock = new ManualClock();
  entries.length = 0;
  store = await openStore('sqlite::memory:', { clock });
  vault = await openVault(store.settings, environmentKey(new Secret(randomBytes(32).toString('base64url'))));
  const createdAt = clock.now();
  await store.applications.insert({
    id: 'app_1',
    name: 'work',
    provider: 'microsoft',
    clientId: 'client',
    tenant: undefined,
    settings: {},
    credential: undefined,
    createdAt,
  });
  await store.grants.insert({
    id: 'grant_1',
    applicationId: 'app_1',
    flow: 'authorization-code',
    identity: ALICE,
    subject: undefined,
    scopes: [],
    state: { type: 'pending', since: createdAt },
    tokens: undefined,
    generation: 1,
    createdAt,
  });
  for (const address of [ALICE, BOB]) {
    await store.mailboxes.insert({
      address,
      grantId: 'grant_1',
      access: 'own',
      protocols: PROTOCOLS,
      settings: {},
      createdAt,
    });
  }
  signIn = await openSignIn({ store, vault, clock });
});
afterEach(async () => {
  signIn.close();
  await store.close();
});

const make = (more: Partial<NewAppPassword> = {}): ReturnType<typeof createAppPassword> =>
  createAppPassword(
    { store, vault, audit, clock },
    { label: 'printer', mailboxes: [ALICE], protocols: PROTOCOLS, networks: [], ...more },
  );

function attempt(
  password: string | Secret,
  more: { user?: string; protocol?: Protocol; from?: string } = {},
): Promise<SignInResult> {
  const secret = typeof password === 'string' ? new Secret(password) : password;
  return signIn.verify({
    user: more.user ?? ALICE,
    password: secret,
    protocol: more.protocol ?? 'imap',
    remoteAddress: more.from ?? '192.0.2.1',
  });
}

const outcome = (result: SignInResult): string => (result.type === 'refused' ? result.reason : result.type);

test('an app password opens its mailbox, however it is typed', async () => {
  const { password, row } = await make();
  const text = password.reveal();
  assert.match(text, /^[0-9a-hjkmnp-tv-z]{26}$/);
  assert.equal(JSON.stringify(row).includes(text), false);
  assert.equal(entries[0]?.type, 'app-password.created');
  assert.equal(JSON.stringify(entries).includes(text), false);
  for (const typed of [text, text.toUpperCase(), `${text.slice(0, 5)}-${text.slice(5, 9)} ${text.slice(9)}`]) {
    const result = await attempt(typed, { user: 'Alice@Contoso.Test ' });
    assert.equal(outcome(result), 'accepted');
    assert.ok(result.type === 'accepted' && result.mailbox.address === ALICE && result.appPassword.id === row.id);
  }
});

test('it opens nothing else: mailbox, protocol, network, lifetime', async () => {
  const { password } = await make({
    protocols: ['smtp'],
    networks: ['192.0.2.0/24', '::ffff:198.51.100.0/120', '2001:db8::/32'],
    expiresAt: clock.now() + 1000,
  });
  const tries = [
    [{ protocol: 'imap' }, 'wrong-protocol'],
    [{ protocol: 'smtp', user: BOB }, 'wrong-mailbox'],
    [{ protocol: 'smtp', user: 'nobody@contoso.test' }, 'wrong-mailbox'],
    [{ protocol: 'smtp', from: '203.0.113.5' }, 'wrong-network'],
    [{ protocol: 'smtp', from: '192.0.2.77' }, 'accepted'],
    [{ protocol: 'smtp', from: '::ffff:192.0.2.77' }, 'accepted'],
    [{ protocol: 'smtp', from: '198.51.100.9' }, 'accepted'],
    [{ protocol: 'smtp', from: '2001:db8:1::5' }, 'accepted'],
  ] as const;
  for (const [how, expected] of tries)
    assert.equal(outcome(await attempt(password, how)), expected, JSON.stringify(how));
  await clock.advance(1000);
  assert.equal(outcome(await attempt(password, { protocol: 'smtp' })), 'expired');
  assert.equal(outcome(await attempt('00000000000000000000000000')), 'unknown-password');
});

test('one for every mailbox still needs a mailbox that exists', async () => {
  const { password } = await make({ mailboxes: ['*'] });
  assert.equal(outcome(await attempt(password, { user: BOB })), 'accepted');
  assert.equal(outcome(await attempt(password, { user: 'nobody@contoso.test' })), 'no-such-mailbox');
});

test('revoking is heard of and lasts, also when the store is busy at that moment', async () => {
  const { password, row } = await make();
  assert.equal(outcome(await attempt(password)), 'accepted');
  const cut = new Promise<readonly string[]>((resolve) => void signIn.onRevoked(resolve));
  // The first look after the change fails.
  const { list } = store.appPasswords;
  let failures = 1;
  const flaky = { ...store.appPasswords, list: () => (failures-- > 0 ? Promise.reject(new Error('busy')) : list()) };
  Object.assign(store.appPasswords, flaky);
  assert.equal(await revokeAppPassword({ store, audit, clock }, row.id), true);
  for (let i = 0; i < 40; i++) await clock.advance(250);
  assert.deepEqual(await cut, [row.id]);
  assert.equal(outcome(await attempt(password)), 'revoked');
  assert.equal(await revokeAppPassword({ store, audit, clock }, row.id), false);
});

test('mailboxes that are suspended or removed are told of, each once, and those that were not are left alone', async () => {
  const { password } = await make({ mailboxes: ['*'] });
  const told: string[] = [];
  signIn.onClosed((addresses) => told.push(addresses.join(' ')));
  const heard = async (count: number): Promise<void> => {
    for (let i = 0; i < 100 && told.length < count; i++) await clock.advance(250);
  };
  const deps = { store, vault, clock, emit: () => Promise.resolve() };
  const found = await signIn.verify({
    user: ALICE,
    password,
    protocol: 'imap',
    remoteAddress: '192.0.2.1',
  });
  assert.ok(found.type === 'accepted');
  await looked();
  await suspendGrant(deps, 'grant_1', 'on leave');
  await heard(1);
  assert.equal(signIn.suspended(found.mailbox), 'on leave');
  await resumeGrant(deps, 'grant_1');
  for (let i = 0; i < 40 && signIn.suspended(found.mailbox) !== undefined; i++) await clock.advance(250);
  assert.equal(signIn.suspended(found.mailbox), undefined);
  await store.mailboxes.remove(BOB);
  await heard(2);
  assert.deepEqual(told, [`${ALICE} ${BOB}`, BOB]);
});

test('a suspension that only the grant tells of is seen within a minute', async () => {
  const told: string[] = [];
  signIn.onClosed((addresses) => told.push(addresses.join(' ')));
  const state = { type: 'suspended', since: clock.now(), reason: 'elsewhere' } as const;
  assert.equal(await store.grants.update('grant_1', 1, { state }), 'written');
  for (let i = 0; i < 70 && told.length === 0; i++) await clock.advance(1000);
  assert.deepEqual(told, [`${ALICE} ${BOB}`]);
});

test('expiry cuts live sessions', async () => {
  const { row } = await make({ expiresAt: clock.now() + 5000 });
  await attempt('x'); // lets the watch deliver
  for (let i = 0; i < 4; i++) await clock.advance(1000);
  const cut = new Promise<readonly string[]>((resolve) => void signIn.onRevoked(resolve));
  for (let i = 0; i < 3; i++) await clock.advance(1000);
  assert.deepEqual(await cut, [row.id]);
});

test('wrong passwords are slowed, more and more; a right one never is', async () => {
  const { password } = await make();
  const waits: number[] = [];
  for (let i = 0; i < 14; i++) {
    const result = await attempt('11111111111111111111111111');
    waits.push(result.type === 'slow-down' ? result.waitMs : 0);
  }
  assert.deepEqual(waits.slice(0, 9), [0, 0, 0, 0, 0, 500, 1000, 2000, 4000]);
  assert.equal(Math.max(...waits), 30_000);
  assert.equal(outcome(await attempt(password)), 'accepted', 'the same address');
  assert.equal(outcome(await attempt('11111111111111111111111111')), 'unknown-password', 'its failures were mistakes');
});

test('failures from everywhere slow guesses at that mailbox, not its owner', async () => {
  const { password } = await make();
  const results: string[] = [];
  for (let i = 0; i < 40; i++)
    results.push(outcome(await attempt('11111111111111111111111111', { from: `198.51.100.${i}` })));
  assert.equal(results[0], 'unknown-password');
  assert.equal(results.at(-1), 'slow-down');
  assert.equal(outcome(await attempt(password, { from: '203.0.113.9' })), 'accepted');
});

test('IPv6 clients are told apart by their /64, and forget their failures with time', async () => {
  for (let i = 0; i < 6; i++) await attempt('1', { from: `2001:db8::${i + 1}`, user: `u${i}@contoso.test` });
  assert.equal(outcome(await attempt('1', { from: '2001:db8::ffff', user: 'x@contoso.test' })), 'slow-down');
  assert.equal(outcome(await attempt('1', { from: '2001:db8:0:1::1', user: 'y@contoso.test' })), 'unknown-password');
  await clock.advance(10 * 60_000);
  assert.equal(outcome(await attempt('1', { from: '2001:db8::9', user: 'z@contoso.test' })), 'unknown-password');
});

test('labels and networks are checked before anything is stored', async () => {
  await assert.rejects(make({ label: ' ' }), (error) => isError(error, 'access.label'));
  await assert.rejects(make({ networks: ['not/a/network'] }), (error) => isError(error, 'access.network'));
  assert.deepEqual(await store.appPasswords.list(), []);
});

/** Lets what was started be done; the store is in memory. */
async function looked(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Changes of other processes are heard of after a while: here, never. */
async function deafSignIn(): Promise<string[]> {
  const told: string[] = [];
  signIn.close();
  Object.assign(store, { watch: () => ({ stop: () => undefined }) });
  signIn = await openSignIn({ store, vault, clock });
  signIn.onRevoked((ids) => void told.push(...ids));
  signIn.onClosed((addresses) => void told.push(...addresses));
  return told;
}

test('S11: an app password made, used and revoked before its making was heard of ends its sessions', async () => {
  const told = await deafSignIn();
  const { row, password } = await make();
  assert.equal(outcome(await attempt(password)), 'accepted');
  await revokeAppPassword({ store, audit, clock }, row.id);
  await looked();
  assert.deepEqual(told, [row.id]);
});

test('S11: a mailbox made, used and removed before its making was heard of ends its sessions', async () => {
  const told = await deafSignIn();
  const address = 'new@contoso.test';
  const { password } = await make({ mailboxes: ['*'] });
  await looked();
  await store.mailboxes.insert({ ...(await store.mailboxes.find(ALICE))!, address });
  assert.equal(outcome(await attempt(password, { user: address })), 'accepted');
  await store.mailboxes.remove(address);
  await looked();
  assert.deepEqual(told, [address]);
});

test('S11: a sign-in that is answered while its app password is revoked is told of it once its session is there', async () => {
  const told: string[] = [];
  const { row, password } = await make();
  assert.equal(outcome(await attempt(password)), 'accepted');
  await looked();
  await revokeAppPassword({ store, audit, clock }, row.id);
  await looked();
  signIn.onRevoked((ids) => void told.push(...ids)); // the session of a sign-in that was under way
  await clock.advance(1_000);
  assert.deepEqual(told, [row.id]);
});

/** Removed with what names it, and added again with another consent, before anybody looks. */
async function replaceMailbox(address: string): Promise<void> {
  const { createdAt: _, ...mailbox } = (await store.mailboxes.find(address))!;
  const { createdAt: __, ...grant } = (await store.grants.find('grant_1'))!;
  await withdrawMailbox({ store, audit, clock }, address);
  await store.mailboxes.remove(address);
  const createdAt = clock.now() + 1;
  if (!(await store.grants.find('grant_2'))) await store.grants.insert({ ...grant, id: 'grant_2', createdAt });
  await store.mailboxes.insert({ ...mailbox, grantId: 'grant_2', createdAt });
}

test('A106: a mailbox or catch-all removed and added again between two looks ends the sessions in the one before', async () => {
  const other = 'new@example.test';
  await store.mailboxes.insert({ ...(await store.mailboxes.find(ALICE))!, address: '*@contoso.test' });
  const told: string[] = [];
  const looks: (() => void)[] = [];
  signIn.close();
  Object.assign(store, { watch: (_: string, look: () => void) => (looks.push(look), { stop: () => undefined }) });
  signIn = await openSignIn({ store, vault, clock });
  signIn.onClosed((addresses) => told.push(...addresses));
  const { password } = await make({ mailboxes: [ALICE, BOB] });
  assert.equal(outcome(await attempt(password)), 'accepted');
  await looked();
  assert.deepEqual(told, []);
  for (const replaced of [ALICE, '*@contoso.test']) {
    await replaceMailbox(replaced);
    for (const look of looks) look();
    await looked();
    assert.deepEqual(told.splice(0), [replaced]);
  }
  assert.equal(outcome(await attempt(password)), 'wrong-mailbox');
  // Let in before its making was heard of, and replaced before the look that follows.
  const { password: all } = await make({ mailboxes: ['*'] });
  await store.mailboxes.insert({ ...(await store.mailboxes.find(BOB))!, address: other });
  assert.equal(outcome(await attempt(all, { user: other })), 'accepted');
  await replaceMailbox(other);
  await looked();
  assert.deepEqual(told, [other]);
});

test('A106: whoever a catch-all lets in before memory knows of it is left alone', async () => {
  const told = await deafSignIn();
  const { password } = await make({ mailboxes: ['*'] });
  await looked();
  await store.mailboxes.insert({ ...(await store.mailboxes.find(ALICE))!, address: '*@contoso.test' });
  assert.equal(outcome(await attempt(password, { user: 'any@contoso.test' })), 'accepted');
  await looked();
  assert.deepEqual(told, []);
  await store.mailboxes.insert({ ...(await store.mailboxes.find(BOB))!, address: '*@example.test' });
  assert.equal(outcome(await attempt(password, { user: 'any@example.test' })), 'accepted');
  await replaceMailbox('*@example.test');
  await looked();
  assert.deepEqual(told, ['*@example.test'], 'by which name its sessions are known');
});

test('A4: the mailbox as it is now is known from memory, and follows each change', async () => {
  assert.deepEqual(signIn.known(ALICE)?.settings, {});
  await editMailbox(store, ALICE, () => ({ sendAs: [BOB] }));
  await looked();
  assert.deepEqual(signIn.known(ALICE)?.settings, { sendAs: [BOB] });
  await editMailbox(store, ALICE, () => ({}));
  await looked();
  assert.deepEqual(signIn.known(ALICE)?.settings, {});
  assert.equal(signIn.known('nobody@contoso.test'), undefined);
});

test('W8: failures are counted for the installation, whichever process hears of them', async () => {
  await make();
  const others = await Promise.all([1, 2].map(() => openSignIn({ store, vault, clock })));
  const waits: number[] = [];
  for (let i = 0; i < 9; i++) {
    const process = [signIn, ...others][i % 3]!;
    const password = new Secret('11111111111111111111111111');
    const result = await process.verify({ user: ALICE, password, protocol: 'imap', remoteAddress: '192.0.2.1' });
    waits.push(result.type === 'slow-down' ? result.waitMs : 0);
  }
  for (const other of others) other.close();
  assert.deepEqual(waits, [0, 0, 0, 0, 0, 500, 1000, 2000, 4000]);
});

test('W8: an ordinary sign-in writes no count, a flood of failures some twenty a second', async () => {
  const { password } = await make();
  const { swapEntry } = store.outbox;
  let writes = 0;
  Object.assign(store.outbox, {
    swapEntry: (...args: Parameters<typeof swapEntry>) => {
      writes += 1;
      return swapEntry(...args);
    },
  });
  for (let i = 0; i < 10; i++) assert.equal(outcome(await attempt(password)), 'accepted');
  assert.equal(writes, 0);
  const wrong = Array.from({ length: 500 }, (_, i) =>
    attempt('1', { from: `198.51.100.${i % 250}`, user: `u${i}@x.test` }),
  );
  await Promise.all(wrong);
  for (let i = 0; i < 100; i++) await attempt('1', { from: `198.51.101.${i}` });
  assert.ok(writes <= 20, `${writes} writes`);
});
