/** Every refusal a client can cause: OAuth error, AADSTS code, status and the shape of the body; no port is opened. */
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { before, test } from 'node:test';
import type { Hono } from 'hono';
import { SignJWT } from 'jose';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { nullLog } from '../../base/log.ts';
import { createTokenCheck } from '../token.ts';
import type { ErrorBody } from './aadsts.ts';
import { CONFIDENTIAL_SECRET, TENANT_ID } from './directory.ts';
import { createEndpoints } from './endpoints.ts';
import type { AuthorityOptions, Platform } from './platform.ts';
import { createAuthorityKeys, createPlatform, decideUserCode, mintAssertion, type AuthorityKeys } from './server.ts';
import { signJwt, type TokenResponse } from './tokens.ts';

const IMAP = 'https://outlook.office.com/IMAP.AccessAsUser.All';
const APP_SCOPE = 'https://outlook.office365.com/.default';
const redirect_uri = 'http://localhost:1234/callback';
const ORIGIN = 'https://localhost:8443';
let keys: AuthorityKeys;

before(async () => {
  keys = await createAuthorityKeys(new ManualClock());
});

interface Bed {
  platform: Platform;
  endpoints: Hono;
  clock: ManualClock;
}

function open(options: Partial<AuthorityOptions> = {}): Bed {
  const clock = new ManualClock();
  const platform = createPlatform(ORIGIN, keys, {
    rotation: 'microsoft',
    assertionReuse: 'microsoft',
    tokenLifetime: undefined,
    deviceInterval: 5,
    redirectUris: [],
    clock,
    log: nullLog,
    ...options,
  });
  return { platform, endpoints: createEndpoints(platform), clock };
}

type Fields = Record<string, string>;

async function post(
  bed: Bed,
  fields: Fields | string,
  tenant = TENANT_ID,
  path = 'token',
  headers: Fields = {},
): Promise<Response> {
  return bed.endpoints.request(`${ORIGIN}/${tenant}/oauth2/v2.0/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams(fields).toString(),
  });
}

async function issued(response: Response): Promise<TokenResponse> {
  const body: unknown = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  return body as TokenResponse;
}

async function assertRefused(
  response: Response,
  error: string,
  code: number,
  status = 400,
  suberror?: string,
): Promise<void> {
  const body = (await response.json()) as ErrorBody;
  const found = [body.error, body.error_codes, response.status, body.suberror];
  assert.deepEqual(found, [error, [code], status, suberror], body.error_description);
  assert.match(
    body.error_description,
    new RegExp(
      `^AADSTS${code}: .+ Trace ID: ${body.trace_id} Correlation ID: ${body.correlation_id} Timestamp: ${body.timestamp}$`,
    ),
  );
  assert.doesNotMatch(body.error_description, /\{\w+\}/, 'every placeholder is filled');
  assert.match(body.timestamp, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$/);
}

function authorizeUrl(bed: Bed, fields: Fields = {}, tenant = TENANT_ID): string {
  const url = new URL(`${ORIGIN}/${tenant}/oauth2/v2.0/authorize`);
  const client_id = bed.platform.applications.public.id;
  const all = {
    client_id,
    response_type: 'code',
    redirect_uri,
    scope: `openid offline_access ${IMAP}`,
    state: 's',
    ...fields,
  };
  for (const [name, value] of Object.entries(all)) url.searchParams.set(name, value);
  return url.href;
}

async function answerOf(bed: Bed, fields: Fields = {}, tenant = TENANT_ID): Promise<URLSearchParams> {
  const response = await bed.endpoints.request(
    authorizeUrl(bed, { sandbox_user: 'alice@contoso.test', ...fields }, tenant),
  );
  assert.equal(response.status, 302, await response.text());
  return new URL(response.headers.get('location')!).searchParams;
}

async function codeOf(bed: Bed, fields: Fields = {}): Promise<Fields> {
  const code = (await answerOf(bed, fields)).get('code')!;
  return { grant_type: 'authorization_code', client_id: bed.platform.applications.public.id, code, redirect_uri };
}

async function refreshOf(bed: Bed): Promise<Fields> {
  const { refresh_token } = await issued(await post(bed, await codeOf(bed)));
  return { grant_type: 'refresh_token', client_id: bed.platform.applications.public.id, refresh_token: refresh_token! };
}

// RFC 6749 §4–6
test('what is wrong with the request itself', async () => {
  const bed = open();
  const { id } = bed.platform.applications.public;
  await assertRefused(await post(bed, { client_id: id }), 'invalid_request', 900144);
  await assertRefused(await post(bed, { grant_type: 'refresh_token' }), 'invalid_request', 900144);
  await assertRefused(await post(bed, 'grant_type=a&grant_type=b'), 'invalid_request', 9000411);
  await assertRefused(await post(bed, { grant_type: 'password', client_id: id }), 'unsupported_grant_type', 70003);
  await assertRefused(await post(bed, { grant_type: 'refresh_token', resource: 'x' }), 'invalid_request', 901002);
  await assertRefused(await post(bed, { grant_type: 'refresh_token' }, 'fabrikam.test'), 'invalid_request', 90002);
  const unknown = { grant_type: 'refresh_token', client_id: randomUUID() };
  await assertRefused(await post(bed, unknown), 'unauthorized_client', 700016);
  const disabled = { ...unknown, client_id: bed.platform.applications.disabled.id };
  await assertRefused(await post(bed, disabled), 'unauthorized_client', 7000112);
});

test('a body beyond the limit is 413, whether its length is told or not', async () => {
  const bed = open();
  const fields = { grant_type: 'x'.repeat(70_000) };
  assert.equal((await post(bed, fields)).status, 413);
  assert.equal((await post(bed, {}, TENANT_ID, 'token', { 'content-length': '99999999' })).status, 413);
});

// RFC 6749 §2.3.1
test('client authentication', async () => {
  const bed = open();
  const { confidential, public: open_, certificate } = bed.platform.applications;
  const ask = { grant_type: 'client_credentials', client_id: confidential.id, scope: APP_SCOPE };
  await assertRefused(await post(bed, ask), 'invalid_client', 7000218, 401);
  await assertRefused(await post(bed, { ...ask, client_secret: 'no' }), 'invalid_client', 7000215, 401);
  await assertRefused(
    await post(bed, { ...ask, client_id: open_.id, client_secret: 'x' }),
    'invalid_client',
    700025,
    401,
  );
  const good = { ...ask, client_secret: CONFIDENTIAL_SECRET };
  await assertRefused(await post(bed, good, 'common'), 'invalid_request', 9001023);
  await assertRefused(await post(bed, { ...good, scope: IMAP }), 'invalid_scope', 70011);
  await assertRefused(await post(bed, { ...good, scope: 'https://nobody.test/.default' }), 'invalid_resource', 500011);
  assert.equal((await issued(await post(bed, good, 'contoso.test'))).refresh_token, undefined);
  const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
  const withAssertion = async (jwt: string, id = certificate.id): Promise<Response> =>
    post(bed, { ...ask, client_id: id, client_assertion_type: type, client_assertion: jwt });
  const audience = `${ORIGIN}/${TENANT_ID}/oauth2/v2.0/token`;
  const now = bed.clock.now() / 1000;
  const rsa = { certificate: keys.certificate, foreign: keys.foreign };
  const assertion = (change: {
    sub?: string;
    aud?: string;
    exp?: number;
    key?: typeof keys.foreign.privateKey;
  }): Promise<string> =>
    new SignJWT({
      iss: certificate.id,
      sub: change.sub ?? certificate.id,
      aud: change.aud ?? audience,
      jti: randomUUID(),
    })
      .setProtectedHeader({ alg: 'PS256', 'x5t#S256': rsa.certificate.sha256 })
      .setNotBefore(now)
      .setExpirationTime(change.exp ?? now + 300)
      .sign(change.key ?? keys.certificate.privateKey);
  assert.ok((await issued(await withAssertion(await assertion({})))).access_token);
  await assertRefused(await withAssertion('nonsense'), 'invalid_client', 50027, 401);
  await assertRefused(await withAssertion(await assertion({ sub: 'x' })), 'invalid_client', 700021, 401);
  await assertRefused(await withAssertion(await assertion({ aud: 'https://x.test' })), 'invalid_client', 700023, 401);
  await assertRefused(await withAssertion(await assertion({ exp: now - 301 })), 'invalid_client', 700024, 401);
  await assertRefused(
    await withAssertion(await assertion({ key: rsa.foreign.privateKey })),
    'invalid_client',
    700027,
    401,
  );
  const stranger = signJwt(keys.foreign, {
    iss: 'https://issuer.contoso.test',
    sub: 'other',
    aud: 'api://AzureADTokenExchange',
  });
  await assertRefused(
    await withAssertion(stranger, bed.platform.applications.federated.id),
    'invalid_client',
    700213,
    401,
  );
});

test('an assertion presented twice is refused where the option says so', async () => {
  const bed = open({ assertionReuse: 'strict' });
  const assertion = mintAssertion(bed.platform, keys.foreign);
  const ask = {
    grant_type: 'client_credentials',
    client_id: bed.platform.applications.federated.id,
    scope: APP_SCOPE,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  };
  await issued(await post(bed, ask));
  await assertRefused(await post(bed, ask), 'invalid_client', 50027, 401);
});

// RFC 6749 §4.1, RFC 7636 §4.6
test('authorization codes', async () => {
  const bed = open();
  const good = await codeOf(bed);
  await assertRefused(await post(bed, good, 'common'), 'invalid_grant', 700005);
  await assertRefused(
    await post(bed, { ...good, redirect_uri: 'http://localhost:9/callback' }),
    'invalid_grant',
    500112,
  );
  await assertRefused(await post(bed, { ...good, code: 'x' }), 'invalid_grant', 9002313);
  const graphToo = { ...good, scope: `${IMAP} User.Read` };
  await assertRefused(await post(bed, graphToo), 'invalid_scope', 28002);
  await issued(await post(bed, good));
  await assertRefused(await post(bed, good), 'invalid_grant', 54005);
  const verifier = 'v'.repeat(43);
  const code_challenge = createHash('sha256').update(verifier).digest('base64url');
  const pkce = await codeOf(bed, { code_challenge, code_challenge_method: 'S256' });
  await assertRefused(await post(bed, pkce), 'invalid_grant', 501481);
  await assertRefused(await post(bed, { ...pkce, code_verifier: 'w'.repeat(43) }), 'invalid_grant', 501481);
  await assertRefused(await post(bed, { ...pkce, code_verifier: 'short' }), 'invalid_grant', 501491);
  await issued(await post(bed, { ...pkce, code_verifier: verifier }));
  const late = await codeOf(bed);
  await bed.clock.advance(600_000);
  await assertRefused(await post(bed, late), 'invalid_grant', 70008);
});

test('refresh tokens: Microsoft keeps the old one, strict rotation kills the grant, inactivity and revocation end it', async () => {
  const bed = open();
  const refresh = await refreshOf(bed);
  await issued(await post(bed, refresh));
  await issued(await post(bed, refresh));
  const pop = { ...refresh, scope: 'https://outlook.office.com/POP.AccessAsUser.All' };
  await assertRefused(await post(bed, pop), 'invalid_grant', 65001, 400, 'consent_required');
  await bed.clock.advance(90 * 86_400_000);
  await assertRefused(await post(bed, refresh), 'invalid_grant', 700082, 400, 'bad_token');
  const strict = open({ rotation: 'strict' });
  const first = await refreshOf(strict);
  const second = { ...first, refresh_token: (await issued(await post(strict, first))).refresh_token! };
  await assertRefused(await post(strict, first), 'invalid_grant', 70000, 400, 'bad_token');
  await assertRefused(await post(strict, second), 'invalid_grant', 70000, 400, 'bad_token');
});

test('revocation is offered on demand only, and ends the grant for its own client', async () => {
  const plain = open();
  const token = { client_id: plain.platform.applications.public.id, token: 'x' };
  assert.equal((await post(plain, token, 'organizations', 'revoke')).status, 404);
  const bed = open({ revocation: true });
  const refresh = await refreshOf(bed);
  const { client_id, refresh_token } = refresh;
  const revoked = async (client: string, value: string): Promise<void> => {
    const answer = await post(bed, { client_id: client, token: value }, 'organizations', 'revoke');
    assert.deepEqual([answer.status, await answer.text()], [200, '']);
  };
  await revoked(client_id!, 'nobody knows it');
  await issued(await post(bed, refresh));
  await revoked(client_id!, refresh_token!);
  await assertRefused(await post(bed, refresh), 'invalid_grant', 70000, 400, 'bad_token');
});

// RFC 8628 §3.5
test('device codes', async () => {
  const bed = open();
  const { id } = bed.platform.applications.public;
  const start = async (): Promise<{ user_code: string; ask: Fields; interval: number }> => {
    const response = await post(bed, { client_id: id, scope: IMAP }, 'organizations', 'devicecode');
    const body = (await response.json()) as { user_code: string; device_code: string; interval: number };
    const grant_type = 'urn:ietf:params:oauth:grant-type:device_code';
    return { ...body, ask: { grant_type, client_id: id, device_code: body.device_code } };
  };
  const first = await start();
  assert.equal(first.interval, 5);
  await assertRefused(await post(bed, first.ask), 'authorization_pending', 70016);
  await assertRefused(await post(bed, { ...first.ask, device_code: 'x' }), 'bad_verification_code', 70018);
  decideUserCode(bed.platform, first.user_code.toLowerCase(), 'alice@contoso.test', true);
  await issued(await post(bed, { ...first.ask, grant_type: 'device_code' }));
  const second = await start();
  decideUserCode(bed.platform, second.user_code, 'alice@contoso.test', false);
  await assertRefused(await post(bed, second.ask), 'authorization_declined', 65004);
  const third = await start();
  await bed.clock.advance(900_000);
  await assertRefused(await post(bed, third.ask), 'expired_token', 70019);
});

// RFC 6749 §3.1.2, §4.1.2.1, RFC 7636 §4.3
test('the authorize endpoint: what goes back to the client and what must not', async () => {
  const bed = open();
  const refusedWith = async (fields: Fields): Promise<string> => {
    const answer = await answerOf(bed, fields);
    assert.equal(answer.get('state'), 's');
    return `${answer.get('error')} ${/AADSTS(\d+)/.exec(answer.get('error_description') ?? '')?.[1]}`;
  };
  assert.equal(await refusedWith({ sandbox_decision: 'cancel' }), 'access_denied 65004');
  assert.equal(await refusedWith({ response_type: 'token' }), 'unsupported_response_type 700051');
  assert.equal(await refusedWith({ scope: 'No.Such' }), 'invalid_client 650053');
  assert.equal(await refusedWith({ sandbox_user: 'eve@contoso.test' }), 'invalid_grant 50034');
  assert.equal(await refusedWith({ code_challenge: 'short' }), 'invalid_request 50147');
  const silent = await bed.endpoints.request(authorizeUrl(bed, { prompt: 'none' }));
  assert.match(silent.headers.get('location')!, /error=login_required/);
  for (const [fields, code] of [
    [{ redirect_uri: 'https://evil.test/"><script>' }, 50011],
    [{ client_id: '<img src=x>' }, 700016],
  ] as const) {
    const page = await bed.endpoints.request(authorizeUrl(bed, fields));
    const text = await page.text();
    assert.equal(page.status, 400);
    assert.equal(page.headers.get('location'), null);
    assert.match(text, new RegExp(`AADSTS${code}`));
    assert.doesNotMatch(text, /<script>|<img/);
    assert.match(page.headers.get('content-security-policy')!, /^default-src 'none'/);
  }
});

test('tokens say what Exchange reads, and the check refuses all others', async () => {
  const bed = open();
  const check = createTokenCheck(keys.signing, bed.clock);
  const body = await issued(await post(bed, { ...(await codeOf(bed)), client_info: '1' }));
  assert.equal(body.scope, IMAP);
  assert.deepEqual(JSON.parse(Buffer.from(body.client_info!, 'base64url').toString()).utid, TENANT_ID);
  const verdict = check(body.access_token);
  assert.ok(verdict.ok);
  assert.equal(verdict.identity, 'alice@contoso.test');
  assert.deepEqual([verdict.scopes, verdict.roles, verdict.appOnly], [['IMAP.AccessAsUser.All'], [], false]);
  const graph = await issued(await post(bed, await codeOf(bed, { scope: 'IMAP.AccessAsUser.All' })));
  assert.deepEqual(check(graph.access_token), {
    ok: false,
    reason: 'the token is for https://graph.microsoft.com, not for Office 365 Exchange Online',
    why: 'audience',
  });
  assert.equal(check(body.id_token ?? '').ok, false);
  assert.equal(createTokenCheck(keys.foreign, bed.clock)(body.access_token).ok, false);
  const [head, , signature] = body.access_token.split('.');
  const forged = Buffer.from(JSON.stringify({ upn: 'bob@contoso.test' })).toString('base64url');
  assert.equal(check(`${head}.${forged}.${signature}`).ok, false);
  await bed.clock.advance(5_400_000);
  assert.deepEqual(check(body.access_token), { ok: false, reason: 'the token has expired', why: 'expired' });
});

test('every error_uri leads to a page that explains the code', async () => {
  const bed = open();
  const { error_uri } = (await (await post(bed, {})).json()) as ErrorBody;
  const page = await bed.endpoints.request(error_uri);
  assert.match(await page.text(), /AADSTS900144[^]*must contain the following parameter/);
});

test('discovery: the exact issuer for the tenant, the placeholder for the rest', async () => {
  const bed = open();
  const issuerOf = async (tenant: string): Promise<unknown> =>
    (
      (await (
        await bed.endpoints.request(`${ORIGIN}/${tenant}/v2.0/.well-known/openid-configuration`)
      ).json()) as Fields
    )['issuer'];
  assert.equal(await issuerOf(TENANT_ID), `${ORIGIN}/${TENANT_ID}/v2.0`);
  assert.equal(await issuerOf('contoso.test'), `${ORIGIN}/${TENANT_ID}/v2.0`);
  assert.equal(await issuerOf('common'), `${ORIGIN}/{tenantid}/v2.0`);
});
