/**
 * A real authorization server for tests: oidc-provider behind a thin layer that gives it Microsoft's paths and error bodies.
 * Refresh tokens rotate strictly: a second use revokes the whole grant. Access tokens are JWTs as Entra's for the Outlook and
 * Graph scopes, opaque for `mail:*`; introspection (RFC 7662) answers for both.
 */
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { decodeJwt, exportJWK, exportSPKI, generateKeyPair, jwtVerify } from 'jose';
import { Provider } from 'oidc-provider';
import { answerFailure, type Failure, formOf, headerOf, interact, override, shaped } from './authorization-answers.ts';
import { CLIENTS, configuration, KID, TENANT } from './authorization-configuration.ts';
import { openBrowser } from './headless-browser.ts';
import { portOf } from './port.ts';

export type { Failure } from './authorization-answers.ts';

export interface AuthorizationServerOptions {
  /** For `localhost`. */
  readonly tls: { readonly cert: string; readonly key: string };
  /** Trusted by `approve`; the CA of `tls.cert`. */
  readonly caPem: string;
  readonly port?: number;
  /** Seconds an access token lives. Default 3600; may be changed later with `ttl`. */
  readonly ttl?: number;
  /** Certificate of the client that signs assertions; its key stays with the test. */
  readonly clientCertificatePem?: string;
}

/** One request to the token endpoint, without secrets. */
export interface TokenRequest {
  readonly grantType: string;
  readonly clientId: string | undefined;
  readonly scope: string | undefined;
  /** Header of the client assertion, where one was sent. */
  readonly assertion:
    | { readonly header: Record<string, unknown>; readonly payload: Record<string, unknown> }
    | undefined;
}

export interface AuthorizationServer {
  readonly tenantId: string;
  /** `https://localhost:PORT/TENANT` */
  readonly authority: string;
  readonly issuer: string;
  readonly endpoints: Readonly<Record<'authorize' | 'token' | 'device' | 'introspect' | 'jwks' | 'discovery', string>>;
  readonly clients: {
    /** No secret: authorization code, device code, refresh. */
    readonly public: { readonly id: string };
    /** Client credentials and authorization code. */
    readonly confidential: { readonly id: string; readonly secret: string };
    /** Client credentials by private_key_jwt; exists when `clientCertificatePem` was given. */
    readonly certificate: { readonly id: string };
    /** May introspect: for mail servers. */
    readonly introspection: { readonly id: string; readonly secret: string };
  };
  /** Verifies the access tokens: SPKI PEM and key id, e.g. for Dovecot's local validation. */
  readonly signingKey: { readonly kid: string; readonly spkiPem: string };
  readonly requests: readonly TokenRequest[];
  /** Every secret that was asked with or answered, named, so that a test can look for it where it must not be. */
  readonly secrets: ReadonlyMap<string, string>;
  /** Answers to the next token requests, in order. */
  readonly failNext: Failure[];
  /** Awaited between the server's work and its answer, to hold a rotated token back. */
  beforeAnswer: (() => Promise<void>) | undefined;
  ttl: number;
  /** Roles of app-only tokens. */
  roles: readonly string[];
  /** `aud` of Outlook tokens, to hand out wrong ones. */
  audience: string | undefined;
  /** Signs in (as `user@contoso.test`, by default whom login_hint names) and consents; gives the redirect address with its answer. */
  approve(authorizationUrl: string, user?: string): Promise<URL>;
  approveDevice(userCode: string): Promise<void>;
  close(): Promise<void>;
}

/** Fields of token requests and answers that open something (RFC 6749 §5.1, RFC 7521 §4.2, RFC 7636 §4.5, RFC 8628 §3.2). */
const SECRET_FIELDS = [
  'access_token',
  'refresh_token',
  'id_token',
  'client_secret',
  'client_assertion',
  'code',
  'code_verifier',
  'device_code',
] as const;

export async function startAuthorizationServer(options: AuthorizationServerOptions): Promise<AuthorizationServer> {
  const keys = await generateKeyPair('RS256', { extractable: true, modulusLength: 2048 });
  const signing = { ...(await exportJWK(keys.privateKey)), alg: 'RS256', use: 'sig', kid: KID };
  const listener = createServer({ cert: options.tls.cert, key: options.tls.key });
  await new Promise<void>((resolve) => listener.listen(options.port ?? 0, '127.0.0.1', resolve));
  const base = `https://localhost:${portOf(listener)}`;
  const authority = `${base}/${TENANT}`;
  const issuer = `${authority}/v2.0`;
  const requests: TokenRequest[] = [];
  const secrets = new Map<string, string>();
  const keepSecrets = (values: Readonly<Record<string, unknown>>): void => {
    for (const name of SECRET_FIELDS) {
      const value = values[name];
      if (typeof value === 'string' && ![...secrets.values()].includes(value))
        secrets.set(`${name} ${secrets.size}`, value);
    }
  };
  let lastDetail: string | undefined;

  const server: AuthorizationServer = {
    tenantId: TENANT,
    authority,
    issuer,
    endpoints: {
      authorize: `${authority}/oauth2/v2.0/authorize`,
      token: `${authority}/oauth2/v2.0/token`,
      device: `${authority}/oauth2/v2.0/devicecode`,
      introspect: `${authority}/oauth2/v2.0/introspect`,
      jwks: `${authority}/discovery/v2.0/keys`,
      discovery: `${issuer}/.well-known/openid-configuration`,
    },
    clients: CLIENTS,
    signingKey: { kid: KID, spkiPem: await exportSPKI(keys.publicKey) },
    requests,
    secrets,
    failNext: [],
    beforeAnswer: undefined,
    ttl: options.ttl ?? 3600,
    roles: ['IMAP.AccessAsApp', 'POP.AccessAsApp', 'SMTP.SendAsApp'],
    audience: undefined,
    async approve(authorizationUrl, user) {
      const url = new URL(authorizationUrl);
      if (user) url.searchParams.set('login_hint', `${user}@contoso.test`);
      const browser = openBrowser(options.caPem);
      try {
        return await browser.until(url.href, url.searchParams.get('redirect_uri') ?? '');
      } finally {
        await browser.close();
      }
    },
    async approveDevice(userCode) {
      const browser = openBrowser(options.caPem, { user_code: userCode });
      try {
        await browser.page(`${authority}/oauth2/deviceauth`);
      } finally {
        await browser.close();
      }
    },
    close: () => {
      listener.closeAllConnections();
      return new Promise((resolve) => listener.close(() => resolve()));
    },
  };

  const provider = new Provider(issuer, await configuration(server, options, signing));
  provider.on('grant.error', (_ctx, error) => {
    lastDetail = error.error_detail;
  });
  const handle = provider.callback();

  listener.on('request', (request: IncomingMessage, response: ServerResponse) => {
    route(request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });

  async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', base);
    const [, tenant = '', ...parts] = url.pathname.split('/');
    let path = `/${parts.join('/')}`;
    if (![TENANT, 'common', 'organizations', 'contoso.test'].includes(tenant))
      return void response.writeHead(404).end();
    if (path.startsWith('/interaction/')) return interact(provider, request, response);
    if (path === '/v2.0/.well-known/openid-configuration') path = '/.well-known/openid-configuration';
    // Entra grants offline_access without being asked for consent again; oidc-provider wants it spelt out.
    if (path === '/oauth2/v2.0/authorize' && !url.searchParams.has('prompt')) url.searchParams.set('prompt', 'consent');
    if (request.method === 'POST' && path === '/oauth2/v2.0/introspect') {
      if (await introspectJwt(request, response)) return;
    }
    if (request.method === 'POST' && ['/oauth2/v2.0/token', '/oauth2/v2.0/devicecode'].includes(path)) {
      const body = await formOf(request);
      if (path === '/oauth2/v2.0/token' && (await intercept(body, response))) return;
      shape(response, body);
    }
    // oidc-provider takes its mount path from originalUrl.
    Object.assign(request, { originalUrl: `/${TENANT}${path}${url.search}`, url: `${path}${url.search}` });
    await handle(request, response);
  }

  /** Logs a token request, and fails it when told to. */
  async function intercept(body: URLSearchParams, response: ServerResponse): Promise<boolean> {
    const assertion = body.get('client_assertion');
    keepSecrets(Object.fromEntries(body));
    requests.push({
      grantType: body.get('grant_type') ?? '',
      clientId: body.get('client_id') ?? undefined,
      scope: body.get('scope') ?? undefined,
      assertion: assertion ? { header: headerOf(assertion), payload: decodeJwt(assertion) } : undefined,
    });
    // Microsoft's library sends its own short name.
    if (body.get('grant_type') === 'device_code')
      body.set('grant_type', 'urn:ietf:params:oauth:grant-type:device_code');
    const failure = server.failNext[0];
    if (!failure) return false;
    server.failNext.shift();
    if (failure.after) {
      override(response, failure);
      return false;
    }
    answerFailure(response, failure);
    return true;
  }

  /** Gives error bodies the form of Microsoft's, and holds answers back when told to. */
  function shape(response: ServerResponse, body: URLSearchParams): void {
    const end = response.end.bind(response);
    const send = async (text: string): Promise<void> => {
      const answer = JSON.parse(text) as Record<string, unknown>;
      keepSecrets(answer);
      await server.beforeAnswer?.();
      response.removeHeader('content-length');
      end(JSON.stringify(shaped(answer, body, lastDetail)));
      lastDetail = undefined;
    };
    response.end = ((chunk?: unknown) => {
      send(String(chunk)).catch((error: unknown) => response.destroy(error as Error));
      return response;
    }) as typeof response.end;
  }

  /** oidc-provider refuses to introspect JWTs; a mail server does not care which kind a token is. */
  async function introspectJwt(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const body = await formOf(request);
    const token = body.get('token') ?? '';
    if (token.split('.').length !== 3) return false;
    const allowed =
      body.get('client_id') === CLIENTS.introspection.id && body.get('client_secret') === CLIENTS.introspection.secret;
    const claims = await jwtVerify(token, keys.publicKey, { issuer }).then(
      ({ payload }) => ({ active: true, ...payload }),
      () => ({ active: false }),
    );
    response.writeHead(allowed ? 200 : 401, { 'content-type': 'application/json' });
    response.end(JSON.stringify(allowed ? claims : { error: 'invalid_client' }));
    return true;
  }

  return server;
}
