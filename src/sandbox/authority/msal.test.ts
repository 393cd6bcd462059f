/** Microsoft's own client library, unmodified, gets tokens by every flow (a foreign peer keeps the emulation honest). */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import {
  ConfidentialClientApplication,
  CryptoProvider,
  InteractionRequiredAuthError,
  ManagedIdentityApplication,
  PublicClientApplication,
  type AuthenticationResult,
} from '@azure/msal-node';
import { startSandbox, type Sandbox } from '../index.ts';

const scopes = ['https://outlook.office.com/IMAP.AccessAsUser.All', 'https://outlook.office.com/SMTP.Send'];
const appScopes = ['https://outlook.office365.com/.default'];
const redirectUri = 'http://localhost:49152/callback';
const systemCertificates = getCACertificates('default');
let sandbox: Sandbox;

before(async () => {
  sandbox = await startSandbox({ deviceInterval: 1 });
  setDefaultCACertificates([...systemCertificates, sandbox.caPem]);
});
after(async () => {
  setDefaultCACertificates(systemCertificates);
  await sandbox.close();
});

function auth(clientId: string): { clientId: string; authority: string; knownAuthorities: string[] } {
  return { clientId, authority: sandbox.authority, knownAuthorities: [new URL(sandbox.authority).host] };
}

function publicClient(): PublicClientApplication {
  return new PublicClientApplication({ auth: auth(sandbox.clients.public.id) });
}

async function signInByCode(
  client: PublicClientApplication | ConfidentialClientApplication,
): Promise<AuthenticationResult> {
  const { verifier, challenge } = await new CryptoProvider().generatePkceCodes();
  const pkce = { codeChallenge: challenge, codeChallengeMethod: 'S256' };
  const url = await client.getAuthCodeUrl({ scopes, redirectUri, state: 'state-1', nonce: 'nonce-1', ...pkce });
  const answer = await sandbox.approve(url, 'alice@contoso.test');
  assert.equal(answer.searchParams.get('state'), 'state-1');
  const code = answer.searchParams.get('code')!;
  const request = { code, scopes, redirectUri, codeVerifier: verifier, state: 'state-1', nonce: 'nonce-1' };
  return client.acquireTokenByCode(request, { code, state: 'state-1' });
}

/** The token is one that the mail servers take. */
function assertMailToken(token: string): void {
  const verdict = sandbox.checkToken(token);
  assert.ok(verdict.ok, verdict.ok ? '' : verdict.reason);
}

test('authorization code with PKCE, then a silent refresh', async () => {
  const client = publicClient();
  const result = await signInByCode(client);
  assertMailToken(result.accessToken);
  assert.equal(result.account?.username, 'alice@contoso.test');
  assert.equal(result.tenantId, sandbox.tenantId);
  const again = await client.acquireTokenSilent({ account: result.account, scopes, forceRefresh: true });
  assertMailToken(again.accessToken);
  assert.notEqual(again.accessToken, result.accessToken);
  assert.equal(again.fromCache, false);
});

test('a confidential client redeems a code with its secret', async () => {
  const { id, secret } = sandbox.clients.confidential;
  const client = new ConfidentialClientApplication({ auth: { ...auth(id), clientSecret: secret } });
  assertMailToken((await signInByCode(client)).accessToken);
});

test('device code', async () => {
  let approved: Promise<void> | undefined;
  const result = await publicClient().acquireTokenByDeviceCode({
    scopes,
    deviceCodeCallback: (prompt) => {
      assert.match(prompt.message, /enter the code \w{9} to authenticate/);
      approved = sandbox.approveDevice(prompt.userCode, 'bob@contoso.test');
    },
  });
  await approved;
  assert.equal(result?.account?.username, 'bob@contoso.test');
  assertMailToken(result.accessToken);
});

test('client credentials with a secret, a certificate and an assertion', async () => {
  const { confidential, certificate, federated } = sandbox.clients;
  const thumbprintSha256 = Buffer.from(certificate.thumbprint, 'base64url').toString('hex');
  const credentials = [
    { ...auth(confidential.id), clientSecret: confidential.secret },
    { ...auth(certificate.id), clientCertificate: { thumbprintSha256, privateKey: certificate.privateKeyPem } },
    { ...auth(federated.id), clientAssertion: async () => sandbox.mintAssertion() },
  ];
  for (const credential of credentials) {
    const client = new ConfidentialClientApplication({ auth: credential });
    const result = await client.acquireTokenByClientCredential({ scopes: appScopes });
    const verdict = sandbox.checkToken(result!.accessToken);
    assert.ok(verdict.ok && verdict.appOnly);
    assert.deepEqual(verdict.roles, ['IMAP.AccessAsApp', 'POP.AccessAsApp', 'SMTP.SendAsApp']);
    assert.equal(verdict.application, credential.clientId);
    // MSAL presents the same certificate assertion again; Microsoft lets it.
    await client.acquireTokenByClientCredential({ scopes: appScopes, skipCache: true });
  }
});

test('managed identity, and its token as a federated credential', async () => {
  const before = process.env['AZURE_POD_IDENTITY_AUTHORITY_HOST'];
  process.env['AZURE_POD_IDENTITY_AUTHORITY_HOST'] = sandbox.metadataOrigin;
  try {
    const identity = new ManagedIdentityApplication();
    const direct = await identity.acquireToken({ resource: 'https://outlook.office365.com' });
    assertMailToken(direct.accessToken);
    const exchange = await identity.acquireToken({ resource: 'api://AzureADTokenExchange' });
    const clientAssertion = exchange.accessToken;
    const client = new ConfidentialClientApplication({
      auth: { ...auth(sandbox.clients.federated.id), clientAssertion },
    });
    const result = await client.acquireTokenByClientCredential({ scopes: appScopes });
    assertMailToken(result!.accessToken);
  } finally {
    if (before === undefined) delete process.env['AZURE_POD_IDENTITY_AUTHORITY_HOST'];
    else process.env['AZURE_POD_IDENTITY_AUTHORITY_HOST'] = before;
  }
});

test('a revoked session asks for interaction, with the number MSAL reads from the body', async () => {
  const client = publicClient();
  const { account } = await signInByCode(client);
  sandbox.revokeRefreshTokens('alice@contoso.test');
  await assert.rejects(client.acquireTokenSilent({ account: account!, scopes, forceRefresh: true }), (error) => {
    assert.ok(error instanceof InteractionRequiredAuthError);
    assert.equal(error.subError, 'bad_token');
    assert.match(error.errorMessage, /AADSTS50173/);
    return true;
  });
});
