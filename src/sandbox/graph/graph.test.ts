/** Graph as a client meets it: permissions, sending in both formats, drafts in pieces, throttling, the directory. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import fc from 'fast-check';
import { TenantClient } from '../../../test/bed/tenant-client.ts';
import { faults, type Sandbox, startSandbox } from '../index.ts';

const ALICE = 'alice@contoso.test';
const BOB = 'bob@contoso.test';
const SCOPES = ['Mail.Send', 'Mail.Send.Shared', 'Mail.ReadWrite', 'Mail.ReadWrite.Shared', 'User.Read']
  .map((name) => `https://graph.microsoft.com/${name}`)
  .join(' ');
const MIB = 1024 * 1024;

let sandbox: Sandbox;
let client: TenantClient;
let alice: string;
let application: string;
before(async () => {
  sandbox = await startSandbox();
  client = new TenantClient(sandbox);
  alice = (await client.tokens(ALICE, SCOPES)).access_token;
  application = String((await client.appOnly('https://graph.microsoft.com/.default')).body['access_token']);
});
after(async () => {
  await client.close();
  await sandbox.close();
});
afterEach(() => void sandbox.faults.clear());

interface Reply {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: Readonly<Record<string, unknown>>;
  readonly code: string;
}

async function ask(
  method: string,
  path: string,
  token: string,
  body?: string | Buffer | object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  const raw = typeof body === 'string' || Buffer.isBuffer(body) || body === undefined;
  const response = await client.request(path.startsWith('https:') ? path : `${sandbox.graph}/v1.0${path}`, {
    method,
    headers: {
      ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
      ...(raw ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
  const error = json['error'] as { code: string; message: string } | undefined;
  return { status: response.status, headers: response.headers, body: json, code: error?.code ?? '' };
}

const mime = (text: string): string => Buffer.from(text.replaceAll('\n', '\r\n')).toString('base64');
const plain = { 'content-type': 'text/plain' };
const to = (address: string): object => ({ toRecipients: [{ emailAddress: { address } }] });
const last = (address: string): string => sandbox.mailStore.find(address)!.inbox.messages.at(-1)!.raw.toString();
const lastSent = (address: string): string => sandbox.mailStore.find(address)!.sent.messages.at(-1)!.raw.toString();

test('MIME is sent as it is: Message-ID kept, Bcc kept from the others, a copy in Sent Items', async () => {
  const text = `From: Alice <${ALICE}>\nTo: ${BOB}\nBcc: secret@fabrikam.test\nMessage-ID: <mine@contoso.test>\nSubject: by MIME\n\nhello\n`;
  const { status, body } = await ask('POST', '/me/sendMail', alice, mime(text), plain);
  assert.equal(status, 202);
  assert.deepEqual(body, {});
  assert.match(last(BOB), /^Date: [^]*Message-ID: <mine@contoso\.test>/);
  assert.doesNotMatch(last(BOB), /secret/);
  assert.match(lastSent(ALICE), /Bcc: secret@fabrikam\.test/);
  assert.deepEqual(sandbox.mailStore.outside.at(-1)?.to, ['secret@fabrikam.test']);
  const filter = encodeURIComponent(`internetMessageId eq '<mine@contoso.test>'`);
  const sent = await ask('GET', `/me/mailFolders/sentitems/messages?$filter=${filter}`, alice);
  assert.equal((sent.body['value'] as unknown[]).length, 1);
});

test('JSON is composed; an application sends for a mailbox by name or by id', async () => {
  const message = {
    subject: 'Grüße',
    body: { contentType: 'HTML', content: '<p>hello</p>' },
    ...to(BOB),
    internetMessageHeaders: [{ name: 'x-ticket', value: '7' }],
    attachments: [
      {
        '@odata.type': '#microsoft.graph.fileAttachment',
        name: 'a.txt',
        contentType: 'text/plain',
        contentBytes: Buffer.from('inside').toString('base64'),
      },
    ],
  };
  const path = `/users/${ALICE}/sendMail`;
  assert.equal((await ask('POST', path, application, { message, saveToSentItems: false })).status, 202);
  assert.match(last(BOB), /^From: alice@contoso\.test\r\nTo: bob@contoso\.test\r\n/);
  assert.match(last(BOB), /^x-ticket: 7\r$/m);
  assert.doesNotMatch(lastSent(ALICE), /x-ticket/i);
  const byId = `/users/${sandbox.users[0]!.objectId}/sendMail`;
  assert.equal((await ask('POST', byId, application, { message: { ...message, subject: 'by id' } })).status, 202);
  assert.match(lastSent(ALICE), /Subject: by id/);
});

test('permissions are checked: token, audience, scope, mailbox, SendAs', async () => {
  const letter = mime(`To: ${BOB}\n\nx\n`);
  const send = (token: string, path = '/me/sendMail', body = letter): Promise<Reply> =>
    ask('POST', path, token, body, plain);
  assert.equal((await send('')).code, 'InvalidAuthenticationToken');
  assert.equal((await send('nonsense')).status, 401);
  const forMail = (await client.tokens(ALICE)).access_token;
  assert.match(JSON.stringify((await send(forMail)).body), /Invalid audience/);
  const reader = (await client.tokens(ALICE, 'https://graph.microsoft.com/User.Read')).access_token;
  assert.deepEqual([(await send(reader)).status, (await send(reader)).code], [403, 'ErrorAccessDenied']);
  assert.equal((await send(alice, `/users/${BOB}/sendMail`)).code, 'ErrorAccessDenied');
  assert.equal((await send(alice, '/users/nobody@contoso.test/sendMail')).code, 'ErrorInvalidUser');
  assert.equal((await send(application)).code, 'BadRequest');
  assert.equal((await send(alice, '/me/sendMail', mime(`From: ${BOB}\nTo: ${BOB}\n\nx\n`))).code, 'ErrorSendAsDenied');
  assert.equal((await send(alice, `/users/${sandbox.shared}/sendMail`)).status, 202);
  assert.equal((await send(alice, '/me/sendMail', '!!')).code, 'ErrorMimeContentInvalidBase64String');
  assert.equal((await send(alice, '/me/sendMail', mime('Subject: to nobody\n\nx\n'))).code, 'ErrorInvalidRecipients');
  assert.equal((await ask('GET', '/me', alice)).body['mail'], ALICE);
  assert.equal((await ask('GET', '/me/calendar', alice)).status, 400);
});

test('a draft grows in pieces and is sent', async () => {
  const draft = await ask('POST', '/me/messages', alice, { subject: 'large', ...to(BOB) });
  assert.equal(draft.status, 201);
  const path = `/me/messages/${String(draft.body['id'])}`;
  const small = { name: 'small.bin', size: 10, attachmentType: 'file' };
  const session = `${path}/attachments/createUploadSession`;
  const refused = await ask('POST', session, alice, { AttachmentItem: small });
  assert.equal(refused.code, 'ErrorAttachmentSizeShouldNotBeLessThanMinimumSize');
  const content = Buffer.alloc(5 * MIB, 'abcdefgh');
  const opened = await ask('POST', session, alice, {
    AttachmentItem: { ...small, name: 'b.bin', size: content.length },
  });
  assert.deepEqual([opened.status, opened.body['nextExpectedRanges']], [201, ['0-']]);
  const url = String(opened.body['uploadUrl']);
  const put = (from: number, until: number): Promise<Reply> =>
    ask('PUT', url, '', content.subarray(from, until), {
      'content-range': `bytes ${from}-${until - 1}/${content.length}`,
    });
  assert.equal((await put(MIB, 2 * MIB)).status, 416);
  assert.deepEqual((await put(0, 3 * MIB)).body['nextExpectedRanges'], [`${3 * MIB}-`]);
  const done = await put(3 * MIB, content.length);
  assert.equal(done.status, 201);
  assert.match(done.headers.get('location') ?? '', /\/attachments\//);
  assert.equal((await ask('POST', `${path}/send`, alice)).status, 202);
  assert.ok(last(BOB).length > content.length);
  assert.equal((await ask('POST', `${path}/send`, alice)).code, 'ErrorItemNotFound');
  assert.equal(sandbox.mailStore.find(ALICE)!.find('Drafts')!.messages.length, 0);
});

test('a request that is too large is 413', async () => {
  const reply = await ask('POST', '/me/sendMail', alice, Buffer.alloc(4 * MIB + 1, 65), plain);
  assert.equal(reply.status, 413);
});

test('throttling: requests in ten minutes, and Retry-After says when there is room', async () => {
  const before = sandbox.limits.graphRequests;
  sandbox.limits.graphRequests = 1;
  try {
    const token = (await client.tokens(BOB, SCOPES)).access_token;
    const drafts = '/me/mailFolders/drafts/messages';
    assert.equal((await ask('GET', drafts, token)).status, 200);
    const full = await ask('GET', drafts, token);
    assert.deepEqual([full.status, full.code], [429, 'ApplicationThrottled']);
    assert.ok(Number(full.headers.get('retry-after')) > 590);
    await sandbox.clock.advance(600_000);
    assert.equal((await ask('GET', drafts, token)).status, 200);
  } finally {
    sandbox.limits.graphRequests = before;
  }
});

for (const fault of faults) {
  const { effect } = fault;
  if (effect.type !== 'graph') continue;
  test(`Graph: ${fault.id}`, async () => {
    sandbox.faults.set(fault.id, { times: 1, mailbox: ALICE });
    const fresh = (await client.tokens(ALICE, SCOPES)).access_token;
    const letter = mime(`To: ${BOB}\n\nx\n`);
    const reply = await ask('POST', '/me/sendMail', fresh, letter, plain);
    assert.deepEqual([reply.status, reply.code], [effect.status, effect.code]);
    assert.equal(reply.headers.get('retry-after'), effect.retryAfter === true ? String(fault.value!.default) : null);
    assert.equal(reply.headers.get('www-authenticate') !== null, effect.challenge !== undefined);
    assert.equal((await ask('POST', '/me/sendMail', fresh, letter, plain)).status, 202);
  });
}

test('a lost reply leaves the message sent', async () => {
  const count = sandbox.mailStore.find(BOB)!.inbox.messages.length;
  sandbox.faults.set('graph-reply-lost', { times: 1 });
  const fresh = (await client.tokens(ALICE, SCOPES)).access_token;
  await assert.rejects(ask('POST', '/me/sendMail', fresh, mime(`To: ${BOB}\n\nx\n`), plain));
  assert.equal(sandbox.mailStore.find(BOB)!.inbox.messages.length, count + 1);
});

test('the directory: registration, service principal, roles and consents by appId', async () => {
  const { id: appId } = sandbox.clients.confidential;
  const filter = `?$filter=${encodeURIComponent(`appId eq '${appId}'`)}`;
  const { body } = await ask('GET', `/applications${filter}`, application);
  const [registered, ...others] = body['value'] as Record<string, unknown>[];
  assert.deepEqual([registered!['appId'], others.length], [appId, 0]);
  assert.equal((registered!['passwordCredentials'] as unknown[]).length, 1);
  const principal = (await ask('GET', `/servicePrincipals(appId='${appId}')`, application)).body;
  assert.notEqual(principal['id'], registered!['id']);
  const exchange = (await ask('GET', "/servicePrincipals(appId='00000002-0000-0ff1-ce00-000000000000')", application))
    .body as { id: string; appRoles: { id: string; value: string }[] };
  const roles = (await ask('GET', `/servicePrincipals/${String(principal['id'])}/appRoleAssignments`, application))
    .body['value'] as { appRoleId: string; resourceId: string }[];
  const names = roles
    .filter(({ resourceId }) => resourceId === exchange.id)
    .map(({ appRoleId }) => exchange.appRoles.find(({ id }) => id === appRoleId)?.value);
  assert.deepEqual(names, ['IMAP.AccessAsApp', 'POP.AccessAsApp', 'SMTP.SendAsApp']);
  const desktop = `/servicePrincipals(appId='${sandbox.clients.public.id}')`;
  const { id: clientId } = (await ask('GET', desktop, application)).body as { id: string };
  const grants = (
    await ask('GET', `/oauth2PermissionGrants?$filter=${encodeURIComponent(`clientId eq '${clientId}'`)}`, application)
  ).body['value'] as { scope: string; consentType: string }[];
  assert.ok(grants.some(({ scope, consentType }) => scope.includes('Mail.Send') && consentType === 'Principal'));
  assert.equal((await ask('GET', "/applications(appId='none')", application)).code, 'Request_ResourceNotFound');
  assert.equal((await ask('GET', '/applications', alice)).code, 'Authorization_RequestDenied');
});

test('nonsense is refused, never answered with a failure of the server', async () => {
  const address = fc.constantFrom(BOB, 'x', '', 'a@b\r\nBcc: c@d', '"@', '<>');
  const people = fc.array(fc.record({ emailAddress: fc.record({ address, name: fc.string() }) }), { maxLength: 2 });
  const message = fc.record(
    {
      subject: fc.string(),
      body: fc.record({ contentType: fc.constantFrom('text', 'html', 'x'), content: fc.string() }),
      toRecipients: people,
      bccRecipients: people,
      from: fc.record({ emailAddress: fc.record({ address }) }),
      internetMessageId: fc.string(),
      internetMessageHeaders: fc.array(fc.record({ name: fc.string(), value: fc.string() }), { maxLength: 2 }),
      attachments: fc.array(fc.anything(), { maxLength: 1 }),
    },
    { requiredKeys: [] },
  );
  const body = fc.oneof(
    fc.record({ message: fc.oneof(message, fc.anything()) }).map((value) => JSON.stringify(value)),
    fc.string(),
  );
  const path = fc.constantFrom('/me/sendMail', '/me/messages', '/me/messages/x/send', '/me/messages/x/attachments');
  await fc.assert(
    fc.asyncProperty(
      path,
      body,
      fc.constantFrom('application/json', 'text/plain', 'x/y'),
      async (where, sent, type) => {
        const { status } = await ask('POST', where, alice, sent, { 'content-type': type });
        assert.ok(status < 500, `${where} answered ${status}`);
      },
    ),
    { numRuns: 150 },
  );
  const injected = { message: { subject: 'a\r\nBcc: secret@fabrikam.test', ...to(BOB) } };
  assert.equal((await ask('POST', '/me/sendMail', alice, injected)).status, 202);
  assert.doesNotMatch(last(BOB), /^Bcc:/m);
});
