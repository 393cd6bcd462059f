/** Faults of the authority: Microsoft's bodies, set by order and met by address, at the step they belong to. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { TenantClient, xoauth2 } from '../../../test/bed/tenant-client.ts';
import { faults, type Sandbox, startSandbox } from '../index.ts';

const ALICE = 'alice@contoso.test';
let sandbox: Sandbox;
let client: TenantClient;
before(async () => {
  sandbox = await startSandbox();
  client = new TenantClient(sandbox);
});
after(async () => {
  await client.close();
  await sandbox.close();
});
afterEach(() => void sandbox.faults.clear());

const ABOUT_CREDENTIALS = [
  'secret-expired',
  'secret-wrong',
  'client-certificate-expired',
  'assertion-outside-time',
  'federation-mismatch',
];

for (const fault of faults) {
  const { id, effect } = fault;
  if (effect.type !== 'refusal') continue;
  const credential = ABOUT_CREDENTIALS.includes(id);
  test(`authority: ${id}`, async () => {
    const { refresh_token: token } = await client.tokens(ALICE);
    sandbox.faults.set(id);
    const codes = (answer: Awaited<ReturnType<TenantClient['token']>>): unknown => answer.body['error_codes'];
    if (effect.at.includes('refresh')) {
      const answer = await client.refresh(token);
      if (credential) assert.equal(answer.status, 200, 'a public client has no credential');
      else {
        assert.deepEqual(codes(answer), [effect.aadsts]);
        assert.match(String(answer.body['error_description']), new RegExp(`^AADSTS${effect.aadsts}: [^{}]+Trace ID: `));
        assert.equal(typeof answer.body['claims'], effect.claims === true ? 'string' : 'undefined');
      }
    }
    const appOnly = await client.appOnly();
    if (effect.at.includes('app-only')) assert.deepEqual(codes(appOnly), [effect.aadsts]);
    else assert.equal(appOnly.status, 200);
    const redirect = await client.signIn(ALICE);
    if (effect.at.includes('sign-in')) {
      assert.equal(redirect.searchParams.get('error'), 'access_denied');
      assert.match(redirect.searchParams.get('error_description') ?? '', new RegExp(`^AADSTS${effect.aadsts}:`));
    } else assert.ok(redirect.searchParams.get('code'));
    sandbox.faults.clear();
    assert.equal((await client.refresh(token)).status, 200, 'a fault leaves nothing behind');
  });
}

test('by address: somebody who can sign in, and whose refresh token then turns out to be revoked', async () => {
  const { refresh_token: token } = await client.tokens('alice+refresh-token-revoked@contoso.test');
  const { body, status } = await client.refresh(token);
  assert.deepEqual([status, body['error'], body['suberror']], [400, 'invalid_grant', 'bad_token']);
  const blocked = await client.signIn('account-disabled@contoso.test');
  assert.match(blocked.searchParams.get('error_description') ?? '', /^AADSTS50057/);
  await assert.rejects(client.tokens('nobody@contoso.test'));
});

test('answers that are no OAuth answers', async () => {
  const { refresh_token: token } = await client.tokens(ALICE);
  sandbox.faults.set('authority-throttled', { times: 1, value: 77 });
  const throttled = await client.refresh(token);
  assert.deepEqual([throttled.status, throttled.headers.get('retry-after')], [429, '77']);
  sandbox.faults.set('authority-unavailable', { times: 1 });
  const down = await client.appOnly();
  assert.deepEqual([down.status, down.headers.get('content-type')], [503, 'text/html']);
  sandbox.faults.set('authority-garbled', { times: 1 });
  assert.match((await client.refresh(token)).text, /hotel/);
  assert.equal((await client.refresh(token)).status, 200);
  assert.match(sandbox.requests.map(({ outcome }) => outcome).join('\n'), /fault: the authority is down/);
});

test('tokens that are not as they should be', async () => {
  const claims = (jwt: unknown): Record<string, unknown> =>
    JSON.parse(Buffer.from(String(jwt).split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;
  sandbox.faults.set('wrong-audience', { times: 1 });
  const wrong = (await client.tokens(ALICE)).access_token;
  assert.equal(claims(wrong)['aud'], 'https://graph.microsoft.com');
  const imap = await client.imap();
  imap.send(`a AUTHENTICATE XOAUTH2 ${xoauth2(ALICE, wrong)}\r\n`);
  assert.equal(await imap.until(/^a .*\r\n/m), 'a NO AUTHENTICATE failed.\r\n');
  sandbox.faults.set('scope-missing', { times: 1 });
  assert.equal(claims((await client.tokens(ALICE)).access_token)['scp'], 'User.Read');
  sandbox.faults.set('role-missing', { times: 1 });
  assert.equal('roles' in claims((await client.appOnly()).body['access_token']), false);
  sandbox.faults.set('access-token-short-lived', { times: 1, value: 45 });
  assert.equal((await client.tokens(ALICE)).expires_in, 45);
  assert.ok((await client.tokens(ALICE)).expires_in >= 3600);
});

test('the new refresh token is lost: Microsoft’s old one still works, under strict rotation the grant is dead', async () => {
  const { refresh_token: token } = await client.tokens(ALICE);
  sandbox.faults.set('refresh-token-lost', { times: 1 });
  await assert.rejects(client.refresh(token));
  assert.equal((await client.refresh(token)).status, 200);
  const strict = await startSandbox({ rotation: 'strict' });
  const other = new TenantClient(strict);
  try {
    const { refresh_token: first } = await other.tokens(ALICE);
    strict.faults.set('refresh-token-lost', { times: 1 });
    await assert.rejects(other.refresh(first));
    assert.deepEqual((await other.refresh(first)).body['error_codes'], [70000]);
  } finally {
    await other.close();
    await strict.close();
  }
});

test('a refresh token lapses after 90 days without use, and the certificate after a year', async () => {
  const { refresh_token: token } = await client.tokens(ALICE);
  await sandbox.clock.advance(89 * 86_400_000);
  const { body } = await client.refresh(token);
  await sandbox.clock.advance(2 * 86_400_000);
  assert.deepEqual((await client.refresh(token)).body['error_codes'], [700082]);
  assert.equal((await client.refresh(String(body['refresh_token']))).status, 200);
});
