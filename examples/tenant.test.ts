/**
 * Tests a program of one's own against an emulated Microsoft 365, without an account: `node --test tenant.test.ts`.
 * It imports `postern`: `npm install postern` in your project; in a checkout of Postern, `npm run build` first.
 * The program here is a function that keeps a grant with `postern/oauth`; yours may use any OAuth library.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isError } from 'postern/errors';
import { diagnose, type HeldGrant, type OAuthClient, openOAuthClient, remedyText } from 'postern/oauth';
import { type Sandbox, startSandbox } from 'postern/sandbox';

const ALICE = 'alice@contoso.test';
let sandbox: Sandbox;
let client: OAuthClient;
before(async () => {
  sandbox = await startSandbox();
  client = openOAuthClient({
    provider: 'microsoft',
    clientId: sandbox.clients.public.id,
    // For the real one leave this out.
    settings: { authority: sandbox.authority, ca: sandbox.caPem },
    clock: sandbox.clock,
  });
});
after(async () => {
  await client.close();
  await sandbox.close();
});

/** The program: alice consents once, and what is needed later is stored. */
async function connectMailbox(stored: Map<string, string>): Promise<HeldGrant> {
  const protocols = ['imap'] as const;
  const { url, finish } = await client.consent({ address: ALICE, protocols, redirectUri: 'http://localhost/callback' });
  // In life the browser goes to `url` and comes back. The sandbox is the browser and alice in one.
  const tokens = await finish(await sandbox.approve(url.href, ALICE));
  stored.set(ALICE, tokens.refreshToken.reveal());
  return client.hold({
    protocols,
    tokens,
    save: async ({ refreshToken }) => void stored.set(ALICE, refreshToken.reveal()),
  });
}

test('the mailbox stays open for a day', async () => {
  const stored = new Map<string, string>();
  const grant = await connectMailbox(stored);
  const first = stored.get(ALICE);
  await sandbox.clock.advance(24 * 3_600_000);
  const { value } = await grant.accessToken();
  assert.ok(sandbox.checkToken(value.reveal()).ok);
  assert.notEqual(stored.get(ALICE), first, 'a renewed refresh token is stored');
});

test('an outage is not taken for a withdrawn consent', async () => {
  const grant = await connectMailbox(new Map());
  await sandbox.clock.advance(24 * 3_600_000);
  sandbox.failNextToken({ status: 503 });
  await assert.rejects(grant.accessToken(), (error) => isError(error, 'oauth.provider-unreachable'));
  await grant.accessToken();
});

test('when alice changes her password, she is told what to do', async () => {
  const grant = await connectMailbox(new Map());
  await sandbox.clock.advance(24 * 3_600_000);
  sandbox.changePassword(ALICE);
  const error = await grant.accessToken().catch((reason: unknown) => reason);
  assert.ok(isError(error, 'oauth.needs-consent'));
  const { cause, remedy } = diagnose(error, { address: ALICE });
  assert.match(cause, /password/);
  assert.match(remedyText(remedy), /sign in again|consent/);
});
