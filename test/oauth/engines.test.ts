/** One contract for both engines: what app-only tokens cost, carry and how failures are named. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SignJWT, importPKCS8 } from 'jose';
import { systemClock } from '../../src/base/clock.ts';
import type { ClientCredential } from '../../src/oauth/application.ts';
import { openMsalEngine } from '../../src/oauth/engine-msal.ts';
import { openOpenidEngine } from '../../src/oauth/engine-openid.ts';
import type { TokenEngine } from '../../src/oauth/engine.ts';
import { openHttp } from '../../src/oauth/http.ts';
import { resolveProvider } from '../../src/oauth/provider.ts';
import { type Bed, openBed, secretOf } from './fixture.ts';

describe('token engines', () => {
  let bed: Bed;
  let folder: string;
  const engines: TokenEngine[] = [];
  before(async () => {
    bed = await openBed();
    folder = await mkdtemp(join(tmpdir(), 'postern-engines-'));
  });
  after(async () => {
    await Promise.all(engines.map((engine) => engine.close()));
    await rm(folder, { recursive: true });
    await bed.close();
  });

  const SCOPES = ['https://outlook.office365.com/.default'];
  const profile = (extra: object = {}) =>
    resolveProvider({
      name: 'test',
      provider: 'microsoft',
      tenant: undefined,
      settings: { authority: bed.server.authority, ca: bed.certificate.certPem, ...extra },
    });

  for (const kind of ['msal', 'openid'] as const) {
    const open = (clientId: string, credential: ClientCredential, settings: object = {}): TokenEngine => {
      const options = {
        profile: profile(settings),
        clientId,
        credential,
        http: openHttp({ ca: bed.certificate.certPem, timeoutMs: 2000 }),
        clock: systemClock,
      };
      const engine =
        kind === 'msal'
          ? openMsalEngine({ ...options, localHttp: openHttp({ insecureLocalEndpoint: true }) })
          : openOpenidEngine(options);
      engines.push(engine);
      return engine;
    };
    const bySecret = (secret = bed.server.clients.confidential.secret): TokenEngine =>
      open(bed.server.clients.confidential.id, { type: 'secret', secret: secretOf(secret) });

    describe(kind, () => {
      // RFC 6749 §4.4
      test('a client secret gives a token in one request, without a refresh token', async () => {
        const requests = bed.server.requests.length;
        const answer = await bySecret().appOnly(SCOPES);
        assert.equal(bed.server.requests.length, requests + 1);
        assert.match(answer.accessToken.reveal(), /^ey/);
        assert.equal(answer.refreshToken, undefined);
        const lifetime = answer.expiresAt - Date.now();
        assert.ok(lifetime > 3_500_000 && lifetime <= 3_600_000, String(lifetime));
      });

      test('every request is a new one: no cache of the library’s answers', async () => {
        const engine = bySecret();
        const first = await engine.appOnly(SCOPES);
        const second = await engine.appOnly(SCOPES);
        assert.notEqual(first.accessToken.reveal(), second.accessToken.reveal());
      });

      test('a certificate signs PS256 with its SHA-256 thumbprint, for the token endpoint', async () => {
        const { certPem, keyPem } = bed.certificate;
        await open(bed.server.clients.certificate.id, {
          type: 'certificate',
          certificatePem: certPem,
          privateKey: secretOf(keyPem),
        }).appOnly(SCOPES);
        const assertion = bed.server.requests.at(-1)?.assertion;
        assert.equal(assertion?.header['alg'], 'PS256');
        assert.match(String(assertion?.header['x5t#S256']), /^[\w-]{43}$/);
        assert.deepEqual([assertion?.payload['aud']].flat(), [bed.server.endpoints.token]);
      });

      test('a federated assertion is read from its file again each time', async () => {
        const file = join(folder, `${kind}.jwt`);
        const key = await importPKCS8(bed.certificate.keyPem, 'PS256');
        const id = bed.server.clients.certificate.id;
        const write = (jti: string): Promise<void> =>
          new SignJWT({ jti })
            .setProtectedHeader({ alg: 'PS256' })
            .setIssuer(id)
            .setSubject(id)
            .setAudience(bed.server.issuer)
            .setIssuedAt()
            .setExpirationTime('5m')
            .sign(key)
            .then((jwt) => writeFile(file, `${jwt}\n`));
        const engine = open(id, { type: 'federated', assertionFile: file });
        for (const jti of [`${kind}-1`, `${kind}-2`]) {
          await write(jti);
          await engine.appOnly(SCOPES);
          assert.equal(bed.server.requests.at(-1)?.assertion?.payload['jti'], jti);
        }
        await rm(file);
        await assert.rejects(engine.appOnly(SCOPES), { code: 'oauth.misconfigured' });
      });

      test('a wrong secret is the operator’s matter', async () => {
        await assert.rejects(bySecret('wrong').appOnly(SCOPES), { code: 'oauth.misconfigured', kind: 'misuse' });
      });

      test('503 and 429 pass by themselves, and the next request goes out', async () => {
        const engine = bySecret();
        bed.server.failNext.push(
          { status: 503, headers: { 'retry-after': '9' } },
          { status: 429, headers: { 'retry-after': '9' } },
        );
        await assert.rejects(engine.appOnly(SCOPES), { code: 'oauth.provider-unreachable', kind: 'later' });
        await assert.rejects(engine.appOnly(SCOPES), (error: { code: string; retryAt?: Date }) => {
          assert.equal(error.code, 'oauth.provider-busy');
          assert.ok((error.retryAt?.getTime() ?? 0) > Date.now() + 7000);
          return true;
        });
        await engine.appOnly(SCOPES);
      });

      test('a connection cut in the middle passes by itself', async () => {
        bed.server.failNext.push({ status: 0, cut: true });
        await assert.rejects(bySecret().appOnly(SCOPES), { code: 'oauth.provider-unreachable' });
      });

      test('an answer without a token is garbled, not a refusal', async () => {
        bed.server.failNext.push({ status: 200, body: { hello: 'world' } });
        await assert.rejects(bySecret().appOnly(SCOPES), { code: 'oauth.provider-garbled' });
      });
    });
  }

  test('a managed identity’s token comes from the App Service endpoint', async () => {
    const asked: { url: string | undefined; header: unknown }[] = [];
    const endpoint = createServer((request, response) => {
      asked.push({ url: request.url, header: request.headers['x-identity-header'] });
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({
          access_token: 'managed-identity-token',
          expires_on: String(Math.floor(Date.now() / 1000) + 3000),
          resource: 'https://outlook.office365.com',
          token_type: 'Bearer',
        }),
      );
    });
    await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve));
    process.env['IDENTITY_ENDPOINT'] = `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/msi/token`;
    process.env['IDENTITY_HEADER'] = 'header-of-the-host';
    try {
      const engine = openMsalEngine({
        profile: profile(),
        clientId: 'unused',
        credential: { type: 'managed-identity' },
        http: openHttp(),
        localHttp: openHttp({ insecureLocalEndpoint: true }),
        clock: systemClock,
      });
      engines.push(engine);
      const answer = await engine.appOnly(SCOPES);
      assert.equal(answer.accessToken.reveal(), 'managed-identity-token');
      const lifetime = answer.expiresAt - Date.now();
      assert.ok(lifetime > 2_900_000 && lifetime <= 3_001_000, String(lifetime));
      assert.match(asked[0]?.url ?? '', /resource=https%3A%2F%2Foutlook\.office365\.com(&|$)/);
      assert.equal(asked[0]?.header, 'header-of-the-host');
    } finally {
      delete process.env['IDENTITY_ENDPOINT'];
      delete process.env['IDENTITY_HEADER'];
      endpoint.close();
    }
  });
});
