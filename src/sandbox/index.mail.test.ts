/** The authority and the mail servers together: who gets in where. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ImapFlow } from 'imapflow';
import { type Sandbox, startSandbox } from './index.ts';

let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox();
});
after(() => sandbox.close());

const trust = { rejectUnauthorized: true };

async function appToken(scope = 'https://outlook.office365.com/.default'): Promise<string> {
  const { fetch, Agent } = await import('undici');
  const answer = await fetch(`${sandbox.authority}/oauth2/v2.0/token`, {
    method: 'POST',
    dispatcher: new Agent({ connect: { ca: sandbox.caPem } }),
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: sandbox.clients.confidential.id,
      client_secret: sandbox.clients.confidential.secret,
      scope,
    }).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  });
  return ((await answer.json()) as { access_token: string }).access_token;
}

async function subjects(user: string, accessToken: string): Promise<number> {
  const { host, port } = sandbox.mail.imap;
  const client = new ImapFlow({
    host,
    port,
    secure: true,
    tls: { ...trust, ca: sandbox.caPem },
    auth: { user, accessToken },
    logger: false,
  });
  client.on('error', () => client.close());
  try {
    await client.connect();
    const status = await client.status('INBOX', { messages: true });
    return status === false ? 0 : (status.messages ?? 0);
  } finally {
    client.close();
  }
}

test('an application with roles opens every mailbox with sample mail', async () => {
  const token = await appToken();
  for (const user of ['alice@contoso.test', 'bob@contoso.test', sandbox.shared])
    assert.ok((await subjects(user, token)) > 0, user);
});

test('a token for Graph is refused by the mail servers', async () => {
  const token = await appToken('https://graph.microsoft.com/.default');
  await assert.rejects(subjects('alice@contoso.test', token));
});
