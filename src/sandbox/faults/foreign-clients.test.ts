/** Programs of others meet faults and see what they see at Microsoft: they keep bodies and wire strings honest. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, before, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { promisify } from 'node:util';
import {
  ConfidentialClientApplication,
  InteractionRequiredAuthError,
  PublicClientApplication,
  ServerError,
} from '@azure/msal-node';
import { ImapFlow } from 'imapflow';
import { createTransport } from 'nodemailer';
import { TenantClient } from '../../../test/bed/tenant-client.ts';
import { type Sandbox, startSandbox } from '../index.ts';

const ALICE = 'alice@contoso.test';
const run = promisify(execFile);
const systemCertificates = getCACertificates('default');
let sandbox: Sandbox;
let client: TenantClient;
before(async () => {
  sandbox = await startSandbox();
  client = new TenantClient(sandbox);
  setDefaultCACertificates([...systemCertificates, sandbox.caPem]);
});
after(async () => {
  setDefaultCACertificates(systemCertificates);
  await client.close();
  await sandbox.close();
});
afterEach(() => void sandbox.faults.clear());

const auth = (clientId: string): { clientId: string; authority: string; knownAuthorities: string[] } => ({
  clientId,
  authority: sandbox.authority,
  knownAuthorities: [new URL(sandbox.authority).host],
});

test('MSAL tells that a person is needed, and hands on the claims challenge', async () => {
  const { refresh_token: refreshToken } = await client.tokens(ALICE);
  const msal = new PublicClientApplication({ auth: auth(sandbox.clients.public.id) });
  const scopes = ['https://outlook.office.com/IMAP.AccessAsUser.All'];
  const refusal = async (fault: string): Promise<InteractionRequiredAuthError> => {
    sandbox.faults.set(fault);
    const error: unknown = await msal
      .acquireTokenByRefreshToken({ refreshToken, scopes })
      .catch((cause: unknown) => cause);
    sandbox.faults.clear();
    assert.ok(error instanceof InteractionRequiredAuthError, `${fault}: ${String(error)}`);
    return error;
  };
  const mfa = await refusal('mfa-required');
  assert.equal(mfa.subError, 'basic_action');
  assert.match(mfa.claims, /capolids/);
  assert.equal((await refusal('refresh-token-revoked')).subError, 'bad_token');
  assert.equal((await refusal('consent-missing')).subError, 'consent_required');
  assert.equal((await refusal('sign-in-too-old')).errorCode, 'interaction_required');
  assert.match((await refusal('conditional-access-blocked')).errorMessage, /AADSTS53003/);
});

test('MSAL tells a secret that has run out from an outage', async () => {
  const { id, secret } = sandbox.clients.confidential;
  const msal = (): ConfidentialClientApplication =>
    new ConfidentialClientApplication({ auth: { ...auth(id), clientSecret: secret } });
  const failure = async (fault: string): Promise<ServerError> => {
    sandbox.faults.set(fault);
    const request = { scopes: ['https://outlook.office365.com/.default'] };
    const error: unknown = await msal()
      .acquireTokenByClientCredential(request)
      .catch((cause: unknown) => cause);
    sandbox.faults.clear();
    assert.ok(error instanceof ServerError, `${fault}: ${String(error)}`);
    return error;
  };
  const expired = await failure('secret-expired');
  assert.deepEqual([expired.errorCode, Number(expired.errorNo)], ['invalid_client', 7000222]);
  assert.match((await failure('authority-transient')).errorMessage, /AADSTS90033/);
});

async function imapflow(user: string): Promise<ImapFlow> {
  const { host, port } = sandbox.mail.imap;
  const { access_token: accessToken } = await client.tokens(user);
  const tls = { ca: sandbox.caPem };
  const flow = new ImapFlow({ host, port, secure: true, tls, auth: { user, accessToken }, logger: false });
  flow.on('error', () => flow.close());
  return flow;
}

test('imapflow reads past malformed structures and estimated sizes, and names a refusal', async () => {
  for (const fault of ['imap-malformed-bodystructure', 'imap-size-estimated', 'imap4rev2']) {
    const flow = await imapflow(`${fault}@contoso.test`);
    await flow.connect();
    try {
      await flow.mailboxOpen('INBOX');
      const messages = await flow.fetchAll('1:*', { bodyStructure: true, envelope: true, size: true });
      assert.equal(messages.length, 2, fault);
    } finally {
      flow.close();
    }
  }
  const refused = await imapflow('imap-disabled@contoso.test');
  await assert.rejects(
    refused.connect(),
    (error: { authenticationFailed?: boolean }) => error.authenticationFailed === true,
  );
});

test('imapflow hears of the end of a session in IDLE, and of a throttled command', async () => {
  const flow = await imapflow(ALICE);
  await flow.connect();
  await flow.mailboxOpen('INBOX');
  // It reads the suggested back-off, waits that long, and asks again.
  sandbox.faults.set('imap-throttled', { times: 1, value: 1 });
  const messages = await flow.fetchAll('1:*', { uid: true });
  assert.equal(messages.length, sandbox.mailStore.find(ALICE)!.inbox.messages.length);
  assert.deepEqual(sandbox.faults.active, []);
  const ended = new Promise<void>((resolve) => flow.once('close', resolve));
  const idle = flow.idle().catch(() => false);
  await new Promise((resolve) => setImmediate(resolve));
  sandbox.faults.set('access-token-expired', { times: 1 });
  await ended;
  await idle;
});

test('Python’s imaplib names the reason of BYE, poplib and smtplib the refusal', async () => {
  const tokens = Object.fromEntries(
    await Promise.all(
      ['imap-connection-closed@contoso.test', 'pop3-temporary@contoso.test', 'smtp-auth-disabled@contoso.test'].map(
        async (user) => [user, (await client.tokens(user)).access_token] as const,
      ),
    ),
  );
  const { imap, pop3, smtp } = sandbox.mail;
  const script = `
import base64, imaplib, json, poplib, smtplib, ssl
context = ssl.create_default_context(cafile=${JSON.stringify(sandbox.caPath)})
tokens = json.loads(${JSON.stringify(JSON.stringify(tokens))})
def sasl(user): return f'user={user}\\x01auth=Bearer {tokens[user]}\\x01\\x01'.encode()
box = imaplib.IMAP4_SSL('localhost', ${imap.port}, ssl_context=context)
box.authenticate('XOAUTH2', lambda _: sasl('imap-connection-closed@contoso.test'))
box.select('INBOX')
try: box.noop()
except imaplib.IMAP4.abort as error: print(error)
pop = poplib.POP3_SSL('localhost', ${pop3.port}, context=context)
pop._shortcmd('AUTH XOAUTH2')
try: pop._shortcmd(base64.b64encode(sasl('pop3-temporary@contoso.test')).decode())
except poplib.error_proto as error: print(error)
mail = smtplib.SMTP('localhost', ${smtp.port})
mail.starttls(context=context)
mail.ehlo()
print(mail.docmd('AUTH', 'XOAUTH2 ' + base64.b64encode(sasl('smtp-auth-disabled@contoso.test')).decode()))
`;
  const { stdout } = await run('python3', ['-c', script], { timeout: 30_000 });
  const [bye, refused, auth535] = stdout.split('\n');
  assert.match(bye!, /Connection is closed\. 13|unexpected end|EOF/);
  assert.match(refused!, /\[SYS\/TEMP\]/);
  assert.match(auth535!, /535, b'5\.7\.139 .*disabled for the Tenant/);
});

test('nodemailer gives the reply of a message that was refused at its end', async () => {
  const { access_token: accessToken } = await client.tokens(ALICE);
  const { port } = sandbox.mail.smtp;
  const tls = { ca: sandbox.caPem };
  const transport = createTransport({
    host: 'localhost',
    port,
    requireTLS: true,
    auth: { type: 'OAuth2' as const, user: ALICE, accessToken },
    tls,
  });
  const message = { from: ALICE, to: 'smtp-concurrent-limit@contoso.test', subject: 'x', text: 'x' };
  await assert.rejects(transport.sendMail(message), { responseCode: 432, command: 'DATA' });
  transport.close();
});
