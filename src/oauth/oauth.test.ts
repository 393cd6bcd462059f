import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { Secret } from '../base/secret.ts';
import type { Protocol } from '../store/protocols.ts';
import { checkAccessToken } from './access-token.ts';
import { errorFrom, tokensFrom } from './answer.ts';
import { readFlow, refuseFlow } from './flows.ts';
import { type Http, openHttp } from './http.ts';
import { type IdTokenChecks, verifyIdToken } from './id-token.ts';
import { resolveProvider } from './provider.ts';
import { presets } from './providers.ts';
import { compareScopes, scopesFor } from './scopes.ts';

const TENANT = '11111111-2222-4333-8444-555555555555';
const application = (provider: string, settings: Record<string, unknown> = {}, tenant?: string) => ({
  name: 'test',
  provider,
  tenant,
  settings,
});
const microsoft = resolveProvider(application('microsoft', {}, TENANT));

describe('providers', () => {
  test('every preset resolves, names its sources and has scopes for its mail servers', () => {
    for (const preset of presets) {
      const profile = resolveProvider(
        application(preset.id, preset.id === 'oidc' ? { issuer: 'https://as.example' } : {}),
      );
      assert.ok(preset.id === 'oidc' || preset.sources.length > 0, preset.id);
      for (const protocol of Object.keys(profile.mail) as Protocol[])
        assert.ok(scopesFor(profile, [protocol]).length > 0);
    }
    assert.equal(new Set(presets.map((preset) => preset.id)).size, presets.length);
  });

  test('Microsoft’s addresses follow from cloud and tenant', () => {
    assert.equal(microsoft.endpoints?.token, `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/token`);
    assert.equal(microsoft.issuer, `https://login.microsoftonline.com/${TENANT}/v2.0`);
    assert.equal(microsoft.tenantId, TENANT);
    const shared = resolveProvider(application('microsoft'));
    assert.equal(shared.issuer, 'https://login.microsoftonline.com/{tenantid}/v2.0');
    assert.equal(shared.tenantId, undefined);
    assert.equal(resolveProvider(application('outlook')).tenantId, '9188040d-6c67-4c5b-b112-36a304b66dad');
    assert.deepEqual(resolveProvider(application('microsoft-gcc-high', {}, TENANT)).scopes.smtp, [
      'https://outlook.office365.us/SMTP.Send',
    ]);
  });

  test('settings that do not fit are named', () => {
    assert.throws(() => resolveProvider(application('microsoft', { authority: 'http://login.example' })), /authority/);
    assert.throws(
      () => resolveProvider(application('microsoft', { imap: { host: 'x', port: 0, tls: 'implicit' } })),
      /imap\.port/,
    );
    assert.throws(() => resolveProvider(application('microsoft', { hots: 'x' })), { code: 'oauth.misconfigured' });
    assert.throws(() => resolveProvider(application('oidc')), /names no issuer/);
    assert.throws(() => resolveProvider(application('nobody')), { code: 'oauth.unknown-provider' });
  });
});

describe('scopes', () => {
  test('follow from the protocols and nothing else', () => {
    assert.deepEqual(scopesFor(microsoft, ['pop3']), [
      'openid',
      'profile',
      'offline_access',
      'https://outlook.office.com/POP.AccessAsUser.All',
    ]);
    assert.throws(() => scopesFor(resolveProvider(application('yandex')), ['pop3']), { code: 'oauth.not-granted' });
  });

  // RFC 6749 §3.3
  test('comparison ignores case and sign-in scopes, and finds what is missing and what is too much', () => {
    const needed = scopesFor(microsoft, ['imap']);
    assert.deepEqual(compareScopes(needed, ['HTTPS://outlook.office.com/imap.accessasuser.all']), {
      missing: [],
      extra: [],
    });
    assert.deepEqual(compareScopes(needed, ['https://outlook.office.com/SMTP.Send']), {
      missing: ['https://outlook.office.com/IMAP.AccessAsUser.All'],
      extra: ['https://outlook.office.com/SMTP.Send'],
    });
  });

  test('whatever is granted of what is asked, the rest is missing', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.stringMatching(/^[a-z]{3,9}:[a-z]{1,9}$/)),
        fc.func(fc.boolean()),
        (asked, keep) => {
          const granted = asked.filter((scope) => keep(scope));
          const { missing, extra } = compareScopes(asked, granted);
          assert.deepEqual([...granted, ...missing].sort(), [...asked].sort());
          assert.deepEqual(extra, []);
        },
      ),
    );
  });
});

describe('access tokens', () => {
  const jwt = (claims: Record<string, unknown>): Secret => new Secret(new UnsecuredJWT(claims).encode());
  const asUser = { protocols: ['imap'], appOnly: false } as const;

  test('one for Microsoft Graph is refused, and so is any other service’s', () => {
    for (const aud of [
      'https://graph.microsoft.com',
      '00000003-0000-0000-c000-000000000000',
      'https://other.example',
    ]) {
      assert.throws(() => checkAccessToken(jwt({ aud }), microsoft, asUser), { code: 'oauth.wrong-audience' }, aud);
    }
  });

  test('permissions are read where they can be', () => {
    const aud = 'https://outlook.office.com';
    checkAccessToken(jwt({ aud, scp: 'IMAP.AccessAsUser.All' }), microsoft, asUser);
    assert.throws(() => checkAccessToken(jwt({ aud, scp: 'SMTP.Send' }), microsoft, asUser), {
      code: 'oauth.scope-missing',
    });
    const asApp = { protocols: ['imap', 'smtp'], appOnly: true } as const;
    checkAccessToken(jwt({ aud, roles: ['IMAP.AccessAsApp'] }), microsoft, asApp);
    assert.throws(() => checkAccessToken(jwt({ aud }), microsoft, asApp), { code: 'oauth.role-missing' });
  });

  test('opaque tokens pass, whatever they look like', () => {
    for (const text of ['EwBAAl3BAAUF', 'a.b.c', 'x..', 'not a token'])
      checkAccessToken(new Secret(text), microsoft, asUser);
  });
});

describe('answers', () => {
  const clock = new ManualClock();
  const failed = (status: number, body?: Record<string, unknown>, headers = {}) =>
    errorFrom({ status, headers, body }, clock);

  // RFC 6749 §5.2
  test('a failing token endpoint never looks like a wrong password', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constant(429), fc.integer({ min: 500, max: 599 })),
        fc.constantFrom('invalid_grant', 'access_denied', 'invalid_client', undefined),
        (status, error) => assert.equal(failed(status, error ? { error } : undefined).kind, 'later'),
      ),
    );
    assert.notEqual(failed(404).kind, 'denied');
    assert.notEqual(failed(200).kind, 'denied');
  });

  test('the body is kept, the number gives the advice', () => {
    const error = failed(400, {
      error: 'invalid_grant',
      error_description: 'AADSTS530036: The refresh token is invalid. Trace ID: x',
      trace_id: 'x',
      suberror: 'bad_token',
    });
    assert.equal(error.code, 'oauth.admin-consent');
    assert.equal(error.kind, 'denied');
    assert.match(error.hint, /authorization-code/);
    assert.deepEqual([error.detail['suberror'], error.detail['trace_id']], ['bad_token', 'x']);
  });

  // RFC 9110 §10.2.3
  test('Retry-After is seconds or a date, and bounded', () => {
    const at = (value: string) =>
      (failed(429, {}, { 'retry-after': value }).retryAt?.getTime() ?? Number.NaN) - clock.now();
    assert.equal(at('7'), 7000);
    assert.equal(at(new Date(clock.now() + 9000).toUTCString()), 9000);
    assert.equal(at('99999999'), 3_600_000);
    assert.equal(failed(429, {}, { 'retry-after': 'soon' }).retryAt, undefined);
  });

  // RFC 6749 §5.1
  test('tokens without a lifetime live an hour; without a token they are garbled', () => {
    const answer = (body: Record<string, unknown>) => tokensFrom({ status: 200, headers: {}, body }, ['a'], clock);
    assert.equal(answer({ access_token: 'tttttttttt' }).expiresAt - clock.now(), 3_600_000);
    assert.deepEqual(answer({ access_token: 'tttttttttt' }).scopes, ['a']);
    assert.throws(() => answer({ access_token: 'tttttttttt', token_type: 'mac' }), { code: 'oauth.provider-garbled' });
    assert.throws(() => answer({}), { code: 'oauth.provider-garbled' });
  });
});

describe('flows', () => {
  test('implicit and password are refused with reason and replacement', () => {
    for (const flow of ['implicit', 'password'] as const) {
      assert.equal(refuseFlow(flow).code, 'oauth.flow-refused');
      assert.match(refuseFlow(flow).hint, /authorization-code/);
      assert.throws(() => readFlow(flow), { code: 'oauth.flow-refused' });
    }
    assert.equal(readFlow('device-code'), 'device-code');
  });
});

test('no request leaves without TLS', async () => {
  const http = openHttp();
  await assert.rejects(http.request('http://localhost:1/', { method: 'GET' }), { code: 'oauth.misconfigured' });
  await assert.rejects(http.request('https://localhost:1/', { method: 'GET' }), { code: 'oauth.provider-unreachable' });
  await http.close();
});

describe('ID tokens', async () => {
  const keys = await generateKeyPair('RS256');
  const others = await generateKeyPair('RS256');
  const jwks = { keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'k', alg: 'RS256' }] };
  const clock = new ManualClock();
  const http: Http = { request: async () => Response.json(jwks), close: async () => undefined };
  const checks: IdTokenChecks = {
    issuer: 'https://login.example/{tenantid}/v2.0',
    jwksUri: 'https://login.example/keys',
    clientId: 'client',
    nonce: 'n',
    microsoft: true,
    tenantId: undefined,
  };
  const good = { tid: TENANT, nonce: 'n', preferred_username: 'Alice@Contoso.test', oid: 'o' };
  const sign = (
    claims: Record<string, unknown>,
    options: { iss?: string; aud?: string; age?: number; key?: CryptoKey } = {},
  ) => {
    const at = Math.floor(clock.now() / 1000) - (options.age ?? 0);
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'RS256', kid: 'k' })
      .setSubject('s')
      .setIssuer(options.iss ?? `https://login.example/${TENANT}/v2.0`)
      .setAudience(options.aud ?? 'client')
      .setIssuedAt(at)
      .setExpirationTime(at + 3600)
      .sign(options.key ?? keys.privateKey);
  };
  const verify = async (jwt: Promise<string> | string, change: Partial<IdTokenChecks> = {}) =>
    verifyIdToken(new Secret(await jwt), { ...checks, ...change }, { http, clock });
  type CryptoKey = typeof keys.privateKey;

  test('a good one names the person', async () => {
    assert.deepEqual(await verify(sign(good)), { addresses: ['alice@contoso.test'], subject: 'o' });
    await verify(sign(good), { tenantId: TENANT });
  });

  const bad: Record<string, () => Promise<unknown>> = {
    'another key': () => verify(sign(good, { key: others.privateKey })),
    'no signature': () => verify(new UnsecuredJWT(good).encode()),
    'another issuer': () => verify(sign(good, { iss: 'https://evil.example/v2.0' })),
    'an issuer of another tenant than it names': () =>
      verify(sign(good, { iss: 'https://login.example/99999999-2222-4333-8444-555555555555/v2.0' })),
    'another audience': () => verify(sign(good, { aud: 'somebody' })),
    'another party': () => verify(sign({ ...good, azp: 'somebody' })),
    'its time is over': () => verify(sign(good, { age: 3700 })),
    'another nonce': () => verify(sign({ ...good, nonce: 'old' })),
    'no nonce': () => verify(sign({ ...good, nonce: undefined })),
    'a tenant we are not pinned to': () => verify(sign(good), { tenantId: '99999999-2222-4333-8444-555555555555' }),
    'not a token': () => verify('nonsense'),
  };
  for (const [what, attempt] of Object.entries(bad)) {
    test(`refused: ${what}`, () => assert.rejects(attempt, { code: 'oauth.id-token-invalid' }));
  }

  for (const verified of [false, undefined, 'true', 1])
    test(`S8: an address with email_verified ${String(verified)} identifies nobody`, async () => {
      const claims = { ...good, preferred_username: undefined, email: 'ceo@contoso.test', email_verified: verified };
      assert.deepEqual((await verify(sign(claims))).addresses, []);
    });

  test('A28: elsewhere than at Microsoft only a verified address identifies somebody', async () => {
    const claims = { ...good, upn: 'alice@contoso.test', email: 'mallory@contoso.test', email_verified: true };
    assert.deepEqual((await verify(sign(claims), { microsoft: false })).addresses, ['mallory@contoso.test']);
    assert.deepEqual((await verify(sign(good), { microsoft: false })).addresses, []);
    assert.deepEqual((await verify(sign(good))).addresses, ['alice@contoso.test']);
  });

  test('S8: a verified address identifies its owner', async () => {
    const claims = { ...good, preferred_username: undefined, email: 'ceo@contoso.test', email_verified: true };
    assert.deepEqual((await verify(sign(claims))).addresses, ['ceo@contoso.test']);
  });
});
