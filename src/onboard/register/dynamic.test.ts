/** Dynamic registration with a server that answers as it likes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import type { Http, HttpRequest } from '../../oauth/http.ts';
import { clientMetadata, readMetadata, registerClient, type ServerMetadata } from './dynamic.ts';

type Answer = (url: string, request: HttpRequest) => Response;
const http = (answer: Answer): Http => ({
  request: (url, request) => Promise.resolve(answer(url, request)),
  close: () => Promise.resolve(),
});
const json = (body: unknown, status = 200): Response => new Response(JSON.stringify(body), { status });

const ISSUER = 'https://id.example.test/tenant';
const DOCUMENT = {
  issuer: ISSUER,
  token_endpoint: `${ISSUER}/token`,
  registration_endpoint: `${ISSUER}/register`,
  device_authorization_endpoint: `${ISSUER}/device`,
  grant_types_supported: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
};
const SERVER: ServerMetadata = {
  issuer: ISSUER,
  registrationEndpoint: `${ISSUER}/register`,
  grantTypes: [],
  scopes: [],
  deviceAuthorization: false,
};

test('metadata is looked for where RFC 8414 puts it, then where OpenID Connect does', async () => {
  const asked: string[] = [];
  const server = await readMetadata(
    http((url) => {
      asked.push(url);
      return url.endsWith('/openid-configuration') ? json(DOCUMENT) : json({}, 404);
    }),
    `${ISSUER}/`,
  );
  assert.deepEqual(asked, [
    'https://id.example.test/.well-known/oauth-authorization-server/tenant',
    'https://id.example.test/tenant/.well-known/openid-configuration',
  ]);
  assert.ok(clientMetadata('Postern', server, ['mail']).grant_types.some((grant) => grant.endsWith(':device_code')));
});

test('somebody else’s metadata, and none, are refused', async () => {
  const other = http(() => json({ ...DOCUMENT, issuer: 'https://evil.test' }));
  await assert.rejects(readMetadata(other, ISSUER), (error) => isError(error, 'register.refused'));
  const page = http(() => new Response('<html>'));
  await assert.rejects(readMetadata(page, ISSUER), (error) => isError(error, 'register.refused'));
});

const METADATA = clientMetadata('Postern', SERVER, []);

test('a public native client is asked for, with the initial token where there is one', async () => {
  const seen: HttpRequest[] = [];
  const server = http((_url, request) => {
    seen.push(request);
    return json({ client_id: 'abc', client_secret: 'given-anyway', client_secret_expires_at: 1_900_000_000 }, 201);
  });
  const client = await registerClient(server, SERVER, METADATA, { initialToken: new Secret('initial-token') });
  assert.equal(client.clientId, 'abc');
  assert.equal(client.clientSecret?.reveal(), 'given-anyway');
  assert.equal(client.secretExpiresAt, 1_900_000_000_000);
  assert.equal(seen[0]?.headers?.['authorization'], 'Bearer initial-token');
  const sent = JSON.parse(String(seen[0].body)) as Record<string, unknown>;
  assert.deepEqual([sent['application_type'], sent['token_endpoint_auth_method']], ['native', 'none']);
  const forever = http(() => json({ client_id: 'abc', client_secret: 'x', client_secret_expires_at: 0 }));
  assert.equal((await registerClient(forever, SERVER, METADATA)).secretExpiresAt, undefined);
});

test('a refusal is told in the server’s words', async () => {
  const refused = http(() => json({ error: 'invalid_redirect_uri', error_description: 'https only' }, 400));
  await assert.rejects(
    registerClient(refused, SERVER, METADATA),
    (error) => isError(error, 'register.refused') && /400.*invalid_redirect_uri: https only/.test(error.message),
  );
  const empty = http(() => json({}, 201));
  await assert.rejects(registerClient(empty, SERVER, METADATA), (error) => isError(error, 'register.refused'));
  const none = { ...SERVER, registrationEndpoint: undefined };
  await assert.rejects(registerClient(empty, none, METADATA), (error) => isError(error, 'register.not-offered'));
});
