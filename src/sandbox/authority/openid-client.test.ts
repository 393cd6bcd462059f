/** The certified OpenID client, unmodified, gets tokens by every flow and sees Microsoft's error bodies. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { importPKCS8 } from 'jose';
import * as oidc from 'openid-client';
import { startSandbox, type Sandbox } from '../index.ts';

const scope = 'openid profile offline_access https://outlook.office.com/IMAP.AccessAsUser.All';
const appScope = 'https://outlook.office365.com/.default';
const redirect_uri = 'http://localhost:49152';
const systemCertificates = getCACertificates('default');
let sandbox: Sandbox;

before(async () => {
  sandbox = await startSandbox({ deviceInterval: 1, rotation: 'strict', assertionReuse: 'strict' });
  setDefaultCACertificates([...systemCertificates, sandbox.caPem]);
});
after(async () => {
  setDefaultCACertificates(systemCertificates);
  await sandbox.close();
});

function discover(clientId: string, authentication: oidc.ClientAuth): Promise<oidc.Configuration> {
  return oidc.discovery(new URL(sandbox.issuer), clientId, undefined, authentication);
}

async function signIn(
  config: oidc.Configuration,
): Promise<oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers> {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
  const code_challenge = await oidc.calculatePKCECodeChallenge(pkceCodeVerifier);
  const [state, nonce] = [oidc.randomState(), oidc.randomNonce()];
  const asked = { redirect_uri, scope, state, nonce, code_challenge, code_challenge_method: 'S256' };
  const answer = await sandbox.approve(oidc.buildAuthorizationUrl(config, asked).href);
  return oidc.authorizationCodeGrant(config, answer, { pkceCodeVerifier, expectedState: state, expectedNonce: nonce });
}

// RFC 6749 §4.1, §5.1
test('discovery, code with PKCE and a verified ID token, rotating refresh', async () => {
  const config = await discover(sandbox.clients.public.id, oidc.None());
  const tokens = await signIn(config);
  assert.equal(tokens.claims()?.['preferred_username'], 'alice@contoso.test');
  assert.ok(tokens.expires_in! >= 3600 && tokens.expires_in! < 5400);
  const renewed = await oidc.refreshTokenGrant(config, tokens.refresh_token!);
  assert.notEqual(renewed.refresh_token, tokens.refresh_token);
  assert.ok(sandbox.checkToken(renewed.access_token).ok);
  // Strict rotation: the spent token is refused and takes its successor with it.
  for (const dead of [tokens.refresh_token!, renewed.refresh_token!])
    await assert.rejects(oidc.refreshTokenGrant(config, dead), (error) => {
      assert.ok(error instanceof oidc.ResponseBodyError);
      assert.equal(error.error, 'invalid_grant');
      assert.match(error.error_description!, /^AADSTS70000: .* Trace ID: \S+ Correlation ID: \S+ Timestamp: \S+ \S+Z$/);
      return true;
    });
});

// RFC 8628 §3.2, §3.5
test('device code, also when the person declines', async () => {
  const config = await discover(sandbox.clients.public.id, oidc.None());
  const prompt = await oidc.initiateDeviceAuthorization(config, { scope });
  await sandbox.approveDevice(prompt.user_code);
  const tokens = await oidc.pollDeviceAuthorizationGrant(config, prompt);
  assert.ok(sandbox.checkToken(tokens.access_token).ok);
  const second = await oidc.initiateDeviceAuthorization(config, { scope });
  await sandbox.declineDevice(second.user_code);
  await assert.rejects(oidc.pollDeviceAuthorizationGrant(config, second), { error: 'authorization_declined' });
});

test('client credentials: secret in the body, by Basic, and a certificate bound by x5t#S256', async () => {
  const { confidential, certificate } = sandbox.clients;
  const key = await importPKCS8(certificate.privateKeyPem, 'PS256');
  const bound: oidc.ModifyAssertionOptions = {
    [oidc.modifyAssertion]: (header) => void (header['x5t#S256'] = certificate.thumbprint),
  };
  const clients: readonly (readonly [string, oidc.ClientAuth])[] = [
    [confidential.id, oidc.ClientSecretPost(confidential.secret)],
    [confidential.id, oidc.ClientSecretBasic(confidential.secret)],
    [certificate.id, oidc.PrivateKeyJwt(key, bound)],
  ];
  for (const [id, authentication] of clients) {
    const config = await discover(id, authentication);
    const tokens = await oidc.clientCredentialsGrant(config, { scope: appScope });
    const verdict = sandbox.checkToken(tokens.access_token);
    assert.ok(verdict.ok && verdict.appOnly && verdict.roles.includes('IMAP.AccessAsApp'));
    assert.equal(tokens.refresh_token, undefined);
  }
});

test('an assertion without the certificate’s thumbprint is refused with 401', async () => {
  const { certificate } = sandbox.clients;
  const key = await importPKCS8(certificate.privateKeyPem, 'PS256');
  const config = await discover(certificate.id, oidc.PrivateKeyJwt(key));
  await assert.rejects(oidc.clientCredentialsGrant(config, { scope: appScope }), (error) => {
    assert.ok(error instanceof oidc.ResponseBodyError);
    assert.equal(error.status, 401);
    assert.deepEqual((error.cause as { error_codes: number[] }).error_codes, [700027]);
    return true;
  });
});

test('an ordered failure reaches the client with status and headers', async () => {
  const { id, secret } = sandbox.clients.confidential;
  const config = await discover(id, oidc.ClientSecretPost(secret));
  sandbox.failNextToken({ status: 503, headers: { 'retry-after': '7' } });
  await assert.rejects(oidc.clientCredentialsGrant(config, { scope: appScope }), (error) => {
    const response = (error as Error).cause as Response;
    assert.equal(response.status, 503);
    assert.equal(response.headers.get('retry-after'), '7');
    return true;
  });
  assert.equal(sandbox.requests.at(-1)?.outcome, 'ordered 503');
  assert.ok((await oidc.clientCredentialsGrant(config, { scope: appScope })).access_token);
});
