/** Google's service accounts with domain-wide delegation, against a token endpoint that verifies what it is sent. */
import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, test } from 'node:test';
import { jwtVerify } from 'jose';
import { Secret } from '../../src/base/secret.ts';
import { readServiceAccount } from '../../src/onboard/service-account.ts';
import { type Bed, openBed, selfSigned } from '../oauth/fixture.ts';

const EMAIL = 'postern@project.iam.gserviceaccount.com';
const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const KEY_FILE = JSON.stringify({
  type: 'service_account',
  client_email: EMAIL,
  private_key_id: 'key-1',
  private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  token_uri: 'https://oauth2.googleapis.com/token',
});

let bed: Bed;
let close: () => void;
let settings: Record<string, unknown>;
/** Decoded requests, in order. */
const asked: Record<string, unknown>[] = [];

before(async () => {
  bed = await openBed();
  const tls = await selfSigned();
  const server = createServer({ cert: tls.certPem, key: tls.keyPem }, (request, response) => {
    void (async () => {
      const { port } = server.address() as AddressInfo;
      const origin = `https://localhost:${port}`;
      response.setHeader('content-type', 'application/json');
      if (request.url === '/.well-known/openid-configuration')
        return response.end(JSON.stringify({ issuer: origin, token_endpoint: `${origin}/token` }));
      const form = new URLSearchParams(Buffer.concat(await request.toArray()).toString());
      try {
        const { payload, protectedHeader } = await jwtVerify(form.get('assertion') ?? '', publicKey, {
          audience: `${origin}/token`,
          issuer: EMAIL,
        });
        asked.push({ ...payload, kid: protectedHeader.kid, form: [...form.keys()] });
        if (payload.sub === 'stranger@other.test') throw new Error('not of this Workspace');
        return response.end(
          JSON.stringify({
            access_token: `ya29.${payload.sub}.${asked.length}`,
            expires_in: 3600,
            token_type: 'Bearer',
          }),
        );
      } catch {
        response.statusCode = 401;
        return response.end(
          JSON.stringify({
            error: 'unauthorized_client',
            error_description: 'Client is unauthorized to retrieve access tokens using this method',
          }),
        );
      }
    })();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  close = () => server.close();
  const { port } = server.address() as AddressInfo;
  settings = { issuer: `https://localhost:${port}`, authority: undefined, ca: tls.certPem };
});
after(async () => {
  close();
  await bed.close();
});

test('M: one service account opens the mailboxes of a Workspace, each with a token of its own', async () => {
  const application = await bed.application({
    name: 'workspace',
    provider: 'google',
    clientId: '1234567890',
    settings,
    credential: readServiceAccount(new Secret(KEY_FILE)),
  });
  const open = (address: string) => bed.connect({ application, address, flow: 'service-account' });
  const ann = await open('ann@workspace.test');
  const ben = await open('ben@workspace.test');
  assert.notEqual(ann.grant.id, ben.grant.id);
  assert.deepEqual([ann.mailbox.access, ann.grant.identity], ['app-only', 'ann@workspace.test']);
  const source = bed.source();
  assert.match((await source.renewedToken(ann.mailbox, 'imap')).value.reveal(), /^ya29\.ann@workspace\.test\./);
  assert.match((await source.accessToken(ben.mailbox, 'imap')).value.reveal(), /^ya29\.ben@workspace\.test\./);
  const last = asked.at(-1)!;
  assert.deepEqual([last['scope'], last['kid']], ['https://mail.google.com/', 'key-1']);
  assert.deepEqual(last['form'], ['assertion', 'grant_type'].toSorted());
  assert.ok(Number(last['exp']) - Number(last['iat']) <= 3600);
});

test('M: without delegation for the scope the administrator is told what is missing, and nothing is stored', async () => {
  const [application] = await bed.store.applications.list();
  await assert.rejects(
    bed.connect({ application: application!, address: 'stranger@other.test', flow: 'service-account' }),
    { code: 'oauth.misconfigured', message: /unauthorized|domain-wide delegation/ },
  );
  assert.equal(await bed.store.mailboxes.find('stranger@other.test'), undefined);
});

for (const [what, text] of Object.entries({
  'no JSON': 'secret words',
  'another kind of key': JSON.stringify({ type: 'authorized_user', client_id: 'x' }),
  'a broken private key': KEY_FILE.replaceAll('BEGIN PRIVATE KEY', 'BEGIN NOTHING'),
}))
  test(`a key file that is ${what} is refused without quoting it`, () => {
    assert.throws(
      () => readServiceAccount(new Secret(text)),
      (error: Error & { code?: string; cause?: unknown }) =>
        error.code === 'oauth.misconfigured' && !error.message.includes('secret words') && error.cause === undefined,
    );
  });
