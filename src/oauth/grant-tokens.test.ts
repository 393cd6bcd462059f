/** Tokens of a grant, from an answer to what is stored and back. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Secret } from '../base/secret.ts';
import { environmentKey } from '../vault/key-source.ts';
import { openVault } from '../vault/open.ts';
import { openTokens, sealTokens, tokensOf } from './grant-tokens.ts';

const answer = (refreshToken: Secret | undefined) => ({
  accessToken: new Secret('access'),
  refreshToken,
  idToken: undefined,
  expiresAt: 5_000,
  scopes: ['IMAP'],
});

async function vault() {
  const map = new Map<string, string>();
  const settings = {
    get: async (name: string) => map.get(name),
    setOnce: async (name: string, value: string) => map.get(name) ?? (map.set(name, value), value),
    set: async (name: string, value: string) => void map.set(name, value),
  };
  return openVault(settings, environmentKey(new Secret(randomBytes(32).toString('base64'))));
}

test('an answer without a refresh token leaves the old one good; one that has it replaces it', () => {
  const old = { refreshToken: new Secret('old') };
  assert.equal(tokensOf(answer(undefined), old, 1_000).refreshToken?.reveal(), 'old');
  assert.equal(tokensOf(answer(new Secret('new')), old, 1_000).refreshToken?.reveal(), 'new');
  assert.equal(tokensOf(answer(undefined), undefined, 1_000).refreshToken, undefined);
  assert.equal(tokensOf(answer(undefined), old, 1_000).obtainedAt, 1_000);
});

test('what is sealed opens for its grant; without tokens there are none; another form asks for consent', async () => {
  const keys = await vault();
  const tokens = tokensOf(answer(new Secret('refresh')), undefined, 1_000);
  const sealed = await sealTokens(keys, 'grt_1', tokens);
  const opened = await openTokens(keys, { id: 'grt_1', tokens: sealed });
  assert.deepEqual(
    [opened?.accessToken.reveal(), opened?.refreshToken?.reveal(), opened?.expiresAt, opened?.scopes],
    ['access', 'refresh', 5_000, ['IMAP']],
  );
  const none = await sealTokens(keys, 'grt_1', { ...tokens, refreshToken: undefined });
  assert.equal((await openTokens(keys, { id: 'grt_1', tokens: none }))?.refreshToken, undefined);
  assert.equal(await openTokens(keys, { id: 'grt_1', tokens: undefined }), undefined);
  await assert.rejects(openTokens(keys, { id: 'grt_2', tokens: sealed }), { code: 'vault.damaged' });
  const strange = await keys.seal('grant/grt_1/tokens', new Secret('{"accessToken":1}'));
  await assert.rejects(openTokens(keys, { id: 'grt_1', tokens: strange }), { code: 'oauth.needs-consent' });
});
