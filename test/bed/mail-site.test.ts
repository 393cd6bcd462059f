/** The bed judged by itself, without Postern: the servers take the authority's tokens and nothing else. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { ImapFlow } from 'imapflow';
import { createTransport } from 'nodemailer';
import { Agent, fetch } from 'undici';
import { ALICE, BOB, type MailSite, startMailSite, type Validation } from './mail-site.ts';
import { without } from './need.ts';
import { z } from 'zod';
import { said } from './said.ts';

const REDIRECT = 'http://127.0.0.1/';
const SCOPES: Readonly<Record<Validation, string>> = {
  jwt: ['IMAP.AccessAsUser.All', 'POP.AccessAsUser.All', 'SMTP.Send']
    .map((name) => `https://outlook.office.com/${name}`)
    .join(' '),
  introspection: 'mail:imap mail:pop3 mail:smtp',
};

for (const validation of ['jwt', 'introspection'] as const)
  test(`real servers with tokens by ${validation}`, { skip: without('dovecot-imapd', 'postfix') }, async () => {
    const site = await startMailSite(validation);
    try {
      const accessToken = await consent(site, SCOPES[validation]);
      await send(site, accessToken);
      assert.deepEqual(await subjects(site, BOB, await consent(site, SCOPES[validation], 'bob')), ['from the bed']);
      await assert.rejects(subjects(site, BOB, accessToken), 'a token opens no other mailbox');
      await assert.rejects(subjects(site, ALICE, `${accessToken.slice(0, -4)}AAAA`), 'a changed token opens nothing');
    } finally {
      await site.stop();
    }
  });

async function consent(site: MailSite, scope: string, user = 'alice'): Promise<string> {
  const verifier = randomBytes(32).toString('base64url');
  const url = new URL(site.authority.endpoints.authorize);
  url.search = new URLSearchParams({
    client_id: site.authority.clients.public.id,
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: `openid offline_access ${scope}`,
    state: 'state',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  }).toString();
  const back = await site.authority.approve(url.href, user);
  const agent = new Agent({ connect: { ca: site.certificates.caPem } });
  try {
    const response = await fetch(site.authority.endpoints.token, {
      method: 'POST',
      dispatcher: agent,
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        client_id: site.authority.clients.public.id,
        code: back.searchParams.get('code') ?? '',
        redirect_uri: REDIRECT,
        code_verifier: verifier,
      }),
    });
    const answer = said(await response.text(), { access_token: z.string().optional() });
    assert.ok(answer.access_token, JSON.stringify(answer));
    return answer.access_token;
  } finally {
    await agent.close();
  }
}

async function send(site: MailSite, accessToken: string): Promise<void> {
  const transport = createTransport({
    host: 'localhost',
    port: site.postfix.ports.submission,
    requireTLS: true,
    auth: { type: 'OAuth2', user: ALICE, accessToken },
    tls: { ca: site.certificates.caPem },
  });
  await transport.sendMail({ from: ALICE, to: BOB, subject: 'from the bed', text: 'hello' });
  transport.close();
}

async function subjects(site: MailSite, user: string, accessToken: string): Promise<string[]> {
  const box = new ImapFlow({
    host: 'localhost',
    port: site.dovecot.ports.imaps,
    secure: true,
    auth: { user, accessToken },
    tls: { ca: site.certificates.caPem },
    logger: false,
  });
  try {
    await box.connect();
    await box.mailboxOpen('INBOX');
    const found: string[] = [];
    for await (const message of box.fetch('1:*', { envelope: true })) found.push(message.envelope?.subject ?? '');
    return found;
  } finally {
    box.close();
  }
}
