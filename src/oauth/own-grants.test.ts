/** `postern/oauth` against the sandbox tenant: what a program that keeps its grants itself is promised. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { isError } from '../base/error.ts';
import { type Sandbox, startSandbox } from '../sandbox/index.ts';
import { diagnose, type HeldGrant, type OAuthClient, openOAuthClient, type OwnTokens } from './index.ts';

const ALICE = 'alice@contoso.test';
const protocols = ['imap', 'smtp'] as const;
let sandbox: Sandbox;
let client: OAuthClient;
let tokens: OwnTokens;
before(async () => {
  sandbox = await startSandbox({ rotation: 'strict', tokenLifetime: 3600 });
  client = openOAuthClient({
    provider: 'microsoft',
    clientId: sandbox.clients.public.id,
    settings: { authority: sandbox.authority, ca: sandbox.caPem },
    clock: sandbox.clock,
  });
});
beforeEach(async () => {
  tokens = await consented(ALICE);
});
after(async () => {
  await client.close();
  await sandbox.close();
});

async function consented(person: string): Promise<OwnTokens> {
  const { url, finish } = await client.consent({ address: ALICE, protocols, redirectUri: 'http://localhost/callback' });
  return finish(await sandbox.approve(url.href, person));
}
const hold = (save: (renewed: OwnTokens) => Promise<void>): HeldGrant => client.hold({ protocols, tokens, save });
const refreshes = (): number => sandbox.requests.filter(({ grantType }) => grantType === 'refresh_token').length;

test('a consent by browser gives tokens that the mail servers take; another person’s is refused', async () => {
  const { value } = await hold(() => assert.fail('nothing was renewed')).accessToken();
  assert.equal(value.reveal(), tokens.accessToken.reveal());
  assert.equal(sandbox.checkToken(value.reveal()).ok, true);
  await assert.rejects(consented('bob@contoso.test'), { code: 'oauth.wrong-identity' });
});

test('a consent by device code (RFC 8628 §3.3)', async () => {
  const { signal } = new AbortController();
  const granted = client.device({
    address: ALICE,
    protocols,
    signal,
    show: ({ userCode }) => void sandbox.approveDevice(userCode).then(() => sandbox.clock.advance(10_000)),
  });
  assert.ok((await granted).refreshToken);
});

test('many who ask at once share one renewal, and it is stored before anybody has it (RFC 6749 §6)', async () => {
  await sandbox.clock.advance(3_600_000);
  const before = refreshes();
  const saved: OwnTokens[] = [];
  const grant = hold(async (renewed) => {
    await sandbox.clock.advance(1);
    saved.push(renewed);
  });
  const given = await Promise.all([1, 2, 3].map(() => grant.accessToken()));
  assert.equal(refreshes(), before + 1);
  assert.deepEqual(
    given.map(({ value }) => value.reveal()),
    [1, 2, 3].map(() => saved[0]!.accessToken.reveal()),
  );
  assert.notEqual(saved[0]!.refreshToken.reveal(), tokens.refreshToken.reveal());
});

test('tokens that could not be stored go to nobody, and are stored the next time instead of asked for again', async () => {
  await sandbox.clock.advance(3_600_000);
  const before = refreshes();
  let full = true;
  const grant = hold(() => (full ? Promise.reject(new Error('the disk is full')) : Promise.resolve()));
  await assert.rejects(grant.accessToken(), /the disk is full/);
  full = false;
  await grant.accessToken();
  assert.equal(refreshes(), before + 1, 'a second request would have shown a token that is void');
});

test('an outage costs nobody a token that still works; a refused one is replaced', async () => {
  await sandbox.clock.advance(56 * 60_000);
  const grant = hold(() => Promise.resolve());
  sandbox.failNextToken({ status: 503 });
  const old = await grant.accessToken();
  assert.equal(old.value.reveal(), tokens.accessToken.reveal());
  grant.reject(old);
  assert.notEqual((await grant.accessToken()).value.reveal(), old.value.reveal());
});

test('a refusal is one of the codes, and its diagnosis says who has to do what', async () => {
  sandbox.revokeRefreshTokens(ALICE);
  const grant = client.hold({ protocols, tokens: { refreshToken: tokens.refreshToken }, save: () => assert.fail() });
  await assert.rejects(grant.accessToken(), (error) => {
    assert.ok(isError(error, 'oauth.needs-consent'));
    const { blame, cause, remedy } = diagnose(error, { address: ALICE });
    assert.deepEqual([blame, cause !== '', remedy.length > 0], ['user', true, true]);
    return true;
  });
});
