/** The control endpoint: what another process can do to the tenant. */
import assert from 'node:assert/strict';
import { request as rawRequest } from 'node:http';
import { after, before, test } from 'node:test';
import { TenantClient } from '../../test/bed/tenant-client.ts';
import { Wire } from '../../test/bed/wire.ts';
import { faults, type Sandbox, startSandbox } from './index.ts';

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

async function ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: Body }> {
  const response = await fetch(`${sandbox.control}${path}`, {
    method,
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Body };
}
type Body = Readonly<Record<string, unknown>> & {
  readonly error?: { readonly code: string; readonly message?: string };
};

test('facts, faults, clock', async () => {
  assert.equal((await ask('GET', '')).body['graph'], sandbox.graph);
  assert.equal(((await ask('GET', '/faults')).body['faults'] as unknown[]).length, faults.length);
  const set = await ask('POST', '/faults', { fault: 'imap-throttled', times: 3, mailbox: ALICE, value: 9 });
  assert.equal(set.status, 201);
  assert.equal(sandbox.faults.active[0]?.mailbox, ALICE);
  assert.deepEqual((await ask('DELETE', `/faults/${String(set.body['key'])}`)).body, { cleared: 1 });
  assert.deepEqual((await ask('DELETE', '/faults')).body, { cleared: 0 });
  const before = sandbox.clock.now();
  assert.equal((await ask('POST', '/clock', { advance: '2h' })).body['aheadMs'], 7_200_000);
  assert.equal((await ask('POST', '/clock', { advance: 500 })).body['aheadMs'], 7_200_500);
  assert.ok(sandbox.clock.now() - before >= 7_200_500);
  assert.equal(typeof (await ask('GET', '/clock')).body['now'], 'string');
});

test('what makes no sense is refused by name', async () => {
  const code = async (method: string, path: string, body?: unknown): Promise<string> =>
    (await ask(method, path, body)).body.error?.code ?? 'none';
  assert.equal(await code('POST', '/faults', { fault: 'nope' }), 'sandbox.no-such-fault');
  assert.equal(await code('POST', '/faults', { fault: 'imap-throttled', times: -1 }), 'sandbox.fault-limits');
  assert.equal(await code('POST', '/faults', { fault: 'imap-throttled', often: 1 }), 'sandbox.request');
  assert.equal(await code('POST', '/faults', 'not json'), 'sandbox.request');
  assert.equal(await code('POST', '/clock', { advance: 'soon' }), 'sandbox.time');
  assert.equal(await code('POST', '/clock', { advance: -5 }), 'sandbox.time');
  assert.equal(await code('PATCH', '/limits', { nonsense: 1 }), 'sandbox.request');
  assert.equal(await code('GET', '/mailboxes/nobody@contoso.test'), 'sandbox.request');
  assert.equal(await code('POST', '/people/nobody@contoso.test/password'), 'sandbox.refused');
});

test('F63: what a request has wrong is said in plain words', async () => {
  for (const [method, path, body, said] of [
    ['PATCH', '/limits', { messagesPerMinute: -1 }, 'messagesPerMinute: it is too small: at least 0'],
    ['PATCH', '/limits', { nonsense: 1 }, 'there is no nonsense here'],
    ['POST', '/applications/x/secrets', { days: -1 }, 'days: it is too small: at least 0'],
    ['POST', '/faults', { fault: 7 }, 'fault: it is not a text'],
    ['POST', '/faults', {}, 'fault: it is missing; give a text'],
  ] as const)
    assert.equal((await ask(method, path, body)).body.error?.message, said);
});

test('F66: a folder or path that does not exist is refused as JSON', async () => {
  const folder = await ask('GET', `/mailboxes/${ALICE}?folder=Nope`);
  assert.equal(folder.status, 400);
  assert.equal(folder.body.error?.message, `${ALICE} has no folder Nope`);
  const path = await ask('GET', '/nonsense');
  assert.equal(path.status, 404);
  assert.equal(path.body.error?.code, 'sandbox.request');
});

test('A85: a target that is no URL and a method that no request has are refused, and the tenant goes on', async () => {
  const say = async (base: string, line: string): Promise<string> => {
    const wire = await Wire.open({ host: '127.0.0.1', port: Number(new URL(base).port) });
    wire.send(`${line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
    return (await wire.closed()).split('\r\n')[0]!;
  };
  for (const line of ['GET //', 'GET http://[/', 'GET http://u:p@h/', 'TRACE /sandbox'])
    assert.match(await say(sandbox.control, line), /^HTTP\/1\.1 400 /, line);
  assert.match(await say(sandbox.metadataOrigin, 'GET //'), /^HTTP\/1\.1 400 /);
  assert.match(await say(sandbox.metadataOrigin, 'GET http://[/'), /^HTTP\/1\.1 400 /);
  assert.equal((await ask('GET', '')).status, 200);
});

test('mail goes in and comes out', async () => {
  const put = await ask('POST', `/mailboxes/${ALICE}`, 'Subject: put\nMessage-ID: <put@x>\n\nin\n');
  assert.equal(put.body['messageId'], '<put@x>');
  const { body } = await ask('GET', `/mailboxes/${ALICE}?folder=INBOX`);
  const [last] = (body['messages'] as { raw: string }[]).slice(-1);
  assert.equal(last?.raw, 'Subject: put\r\nMessage-ID: <put@x>\r\n\r\nin\r\n');
  const wire = await client.smtp();
  await client.smtpAuth(wire, ALICE);
  await client.submit(wire, ALICE, ['x@fabrikam.test']);
  assert.equal(((await ask('GET', '/outside')).body['messages'] as unknown[]).length, 1);
});

test('secrets come, go and run out; a new password ends what was signed in with the old one', async () => {
  const { id } = sandbox.clients.confidential;
  const made = await ask('POST', `/applications/${id}/secrets`, { days: 10 });
  const secret = String(made.body['secret']);
  const appOnly = (client_secret: string): ReturnType<TenantClient['token']> =>
    client.token({
      grant_type: 'client_credentials',
      client_id: id,
      client_secret,
      scope: 'https://outlook.office365.com/.default',
    });
  assert.equal((await appOnly(secret)).status, 200);
  const { refresh_token: token } = await client.tokens(ALICE);
  assert.equal((await client.refresh(token)).status, 200);
  assert.equal((await ask('POST', `/people/${ALICE}/password`)).status, 204);
  assert.deepEqual((await client.refresh(token)).body['error_codes'], [50173]);
  await sandbox.clock.advance(10 * 86_400_000);
  assert.deepEqual((await appOnly(secret)).body['error_codes'], [7000222]);
  assert.equal((await appOnly(sandbox.clients.confidential.secret)).status, 200);
  assert.equal((await ask('DELETE', `/applications/${id}/secrets/${String(made.body['keyId'])}`)).status, 204);
  assert.deepEqual((await appOnly(secret)).body['error_codes'], [7000215]);
});

test('limits can be changed while it runs', async () => {
  assert.equal((await ask('PATCH', '/limits', { recipientsPerDay: 1 })).body['recipientsPerDay'], 1);
  const wire = await client.smtp();
  await client.smtpAuth(wire, 'bob@contoso.test');
  const two = [ALICE, 'bob@contoso.test'];
  assert.match(await client.submit(wire, 'bob@contoso.test', two), /^554 5\.2\.0 .*SubmissionQuotaExceeded/);
  await ask('PATCH', '/limits', { recipientsPerDay: 10_000 });
  assert.match(await client.submit(wire, 'bob@contoso.test', two), /^250/);
});

test('a web page may not', async () => {
  const { port } = new URL(sandbox.control);
  const status = (headers: Readonly<Record<string, string>>): Promise<number | undefined> =>
    new Promise((resolve, reject) =>
      rawRequest({ host: '127.0.0.1', port, path: '/sandbox/faults', method: 'DELETE', headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end(),
    );
  assert.equal(await status({ origin: 'http://evil.test' }), 403);
  assert.equal(await status({ host: 'evil.test' }), 403);
  assert.equal(await status({}), 200);
});
