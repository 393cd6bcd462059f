/** A grant nobody needs any more, told to a provider that can hear of it, and to those that cannot. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { isError } from '../../src/base/error.ts';
import { openTokens } from '../../src/oauth/grant-tokens.ts';
import { type Revocation, revokeGrant } from '../../src/oauth/revocation.ts';
import { openClient } from '../../src/oauth/engines.ts';
import { resolveProvider } from '../../src/oauth/provider.ts';
import type { Application, Grant } from '../../src/store/types.ts';
import { type Bed, openBed, secretOf } from './fixture.ts';

let bed: Bed;
before(async () => {
  bed = await openBed();
});
after(() => bed.close());

const generic = (): Record<string, unknown> => ({
  authority: undefined,
  issuer: bed.server.issuer,
  scopes: { imap: ['mail:imap'], base: ['openid', 'email', 'offline_access'] },
  imap: { host: 'mail.contoso.test', port: 993, tls: 'implicit' },
});

/** A grant as `mailbox remove` leaves it: out of the store. */
async function removed(application: Application, as = 'alice'): Promise<Grant> {
  const address = `${as}@contoso.test`;
  const { grant } = await bed.connect({ application, address }, as);
  await bed.store.mailboxes.remove(address);
  await bed.store.grants.remove(grant.id);
  return grant;
}

const revoke = (grant: Grant): Promise<Revocation> =>
  revokeGrant({ ...bed, clock: systemClock, timeoutMs: 3000 }, grant);

/** Whether the provider still renews what the grant holds. */
async function renews(grant: Grant): Promise<boolean> {
  const application = await bed.store.applications.find(grant.applicationId);
  const client = await openClient({ ...bed, clock: systemClock }, application!);
  const tokens = await openTokens(bed.vault, grant);
  try {
    await client.delegated.refresh(tokens!.refreshToken!, []);
    return true;
  } catch (error) {
    assert.ok(isError(error, 'oauth.needs-consent'), String(error));
    return false;
  } finally {
    await client.close();
  }
}

test('a provider that names a revocation endpoint ends the grant, for public and confidential clients', async () => {
  const { public: open, confidential } = bed.server.clients;
  for (const client of [
    { clientId: open.id },
    { clientId: confidential.id, credential: { type: 'secret', secret: secretOf(confidential.secret) } as const },
  ]) {
    const grant = await removed(await bed.application({ provider: 'oidc', settings: generic(), ...client }));
    assert.deepEqual(await revoke(grant), { type: 'revoked' });
    assert.equal(await renews(grant), false);
    assert.deepEqual(await revoke(grant), { type: 'revoked' }, 'an unknown token is no error (RFC 7009 §2.2)');
  }
});

test('Microsoft has no endpoint, and the person is told where to go', async () => {
  const grant = await removed(await bed.application());
  const done = await revoke(grant);
  assert.ok(done.type === 'not-offered');
  assert.match(done.byHand, /as alice@contoso\.test: https:\/\/myapps\.microsoft\.com, or an administrator/);
  assert.equal(await renews(grant), true);
});

test('Google is asked where its documentation says', () => {
  const google = { name: 'g', provider: 'google', tenant: undefined, settings: {} };
  assert.equal(resolveProvider(google).endpoints?.revocation, 'https://oauth2.googleapis.com/revoke');
});

test('what another grant of the same person needs is left alone', async () => {
  const application = await bed.application({ provider: 'oidc', settings: generic() });
  const { grant } = await bed.connect({ application, address: 'alice@contoso.test' });
  const twin = { ...grant, id: 'grt_twin' };
  assert.equal((await revoke(twin)).type, 'still-used');
  await bed.store.mailboxes.remove('alice@contoso.test');
  await bed.store.grants.remove(grant.id);
});

test('a provider that is away or refuses, a lost application and an app-only grant end in words, never in an error', async () => {
  const settings = { ...generic(), issuer: 'https://localhost:1/v2.0' };
  const away = await bed.application({ provider: 'oidc', settings });
  const grant = await removed(await bed.application({ provider: 'oidc', settings: generic() }));
  const failed = await revoke({ ...grant, applicationId: away.id });
  assert.ok(failed.type === 'failed' && failed.error.code === 'oauth.provider-unreachable', JSON.stringify(failed));
  assert.match(failed.byHand, /ask its provider/);
  const secret = { type: 'secret', secret: secretOf('not-the-S3cret') } as const;
  const stranger = await bed.application({
    provider: 'oidc',
    settings: generic(),
    clientId: bed.server.clients.confidential.id,
    credential: secret,
  });
  const refused = await revoke({ ...grant, applicationId: stranger.id });
  assert.ok(refused.type === 'failed', JSON.stringify(refused));
  assert.ok(!JSON.stringify(refused).includes('not-the-S3cret'));
  assert.equal((await revoke({ ...grant, applicationId: 'app_gone' })).type, 'nothing-to-revoke');
  assert.equal((await revoke({ ...grant, tokens: undefined })).type, 'nothing-to-revoke');
  assert.equal((await revoke({ ...grant, flow: 'client-secret' })).type, 'app-only');
});
