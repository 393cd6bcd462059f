/** How oidc-provider is set up to be what Microsoft's tenant is to mail: clients, scopes, tokens' claims, paths. */
import { createPublicKey, X509Certificate } from 'node:crypto';
import { exportJWK } from 'jose';
import type { Configuration } from 'oidc-provider';
import { textOf } from './authorization-answers.ts';
import type { AuthorizationServer, AuthorizationServerOptions } from './authorization-server.ts';

export const TENANT = '11111111-2222-4333-8444-555555555555';
const OUTLOOK = ['https://outlook.office.com', 'https://outlook.office365.com'] as const;
const MAIL_SCOPES = ['IMAP.AccessAsUser.All', 'POP.AccessAsUser.All', 'SMTP.Send'];
const OPAQUE = 'urn:test:opaque-mail';
const OPAQUE_SCOPES = ['mail:imap', 'mail:pop3', 'mail:smtp'];
const GRAPH = 'https://graph.microsoft.com';
export const KID = 'test-key-1';

export const CLIENTS = {
  public: { id: '00000000-0000-4000-8000-000000000001' },
  confidential: { id: '00000000-0000-4000-8000-000000000002', secret: 'test-only~S3cret/with+chars' },
  certificate: { id: '00000000-0000-4000-8000-000000000003' },
  introspection: { id: 'mail-server', secret: 'test-only-introspection' },
} as const;

/** @param server what may change while it runs: lifetimes, roles, audience */
export async function configuration(
  server: Pick<AuthorizationServer, 'ttl' | 'roles' | 'audience'>,
  options: Pick<AuthorizationServerOptions, 'clientCertificatePem'>,
  signing: Record<string, unknown>,
): Promise<Configuration> {
  const native = {
    response_types: ['code' as const],
    redirect_uris: ['http://localhost/', 'http://127.0.0.1/'],
    application_type: 'native' as const,
  };
  const certificate = options.clientCertificatePem
    ? await exportJWK(
        createPublicKey(
          new X509Certificate(options.clientCertificatePem).publicKey.export({ type: 'spki', format: 'pem' }),
        ),
      )
    : undefined;
  return {
    jwks: { keys: [signing] },
    clients: [
      {
        ...native,
        client_id: CLIENTS.public.id,
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      },
      {
        ...native,
        client_id: CLIENTS.confidential.id,
        client_secret: CLIENTS.confidential.secret,
        token_endpoint_auth_method: 'client_secret_post',
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      },
      ...(certificate
        ? [
            {
              client_id: CLIENTS.certificate.id,
              token_endpoint_auth_method: 'private_key_jwt' as const,
              jwks: { keys: [{ ...certificate, use: 'sig' }] },
              grant_types: ['client_credentials'],
              redirect_uris: [],
              response_types: [],
            } as never,
          ]
        : []),
      {
        client_id: CLIENTS.introspection.id,
        client_secret: CLIENTS.introspection.secret,
        token_endpoint_auth_method: 'client_secret_post',
        grant_types: [],
        redirect_uris: [],
        response_types: [],
      },
    ],
    scopes: ['openid', 'offline_access', 'profile', 'email'],
    claims: {
      openid: ['sub', 'tid', 'oid'],
      profile: ['name', 'preferred_username'],
      email: ['email', 'email_verified'],
    },
    conformIdTokenClaims: false,
    findAccount: (_ctx, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        oid: `oid-${id}`,
        tid: TENANT,
        name: id,
        email: addressOf(id),
        email_verified: true,
        preferred_username: addressOf(id),
      }),
    }),
    extraTokenClaims: (_ctx, token) =>
      'accountId' in token && token.accountId
        ? {
            email: addressOf(token.accountId),
            upn: addressOf(token.accountId),
            tid: TENANT,
            appid: token.clientId,
            ver: '1.0',
            scp: (token.scope ?? '')
              .split(' ')
              .map((scope) => scope.slice(scope.lastIndexOf('/') + 1))
              .join(' '),
          }
        : { tid: TENANT, appid: token.clientId, idtyp: 'app', roles: server.roles },
    // Dovecot 2.3 wants typ=JWT, as Entra writes it, not at+jwt.
    formats: {
      customizers: {
        jwt: (_ctx, _token, parts) => {
          parts.header = { ...parts.header, typ: 'JWT' };
        },
      },
    },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: (_ctx, client, source) =>
      client.grantTypeAllowed('refresh_token') && source.scopes.has('offline_access'),
    ttl: {
      AccessToken: () => server.ttl,
      ClientCredentials: () => server.ttl,
      RefreshToken: 86_400,
      DeviceCode: 300,
      AuthorizationCode: 60,
      Grant: 86_400,
      Interaction: 600,
      Session: 86_400,
      IdToken: 3600,
    },
    cookies: { keys: ['test'] },
    interactions: { url: (_ctx, interaction) => `/${TENANT}/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_ctx, client) => client.clientId === CLIENTS.introspection.id },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        // Microsoft's clients name no resource: the scope says which.
        defaultResource: (ctx, _client, oneOf) => oneOf?.[0] ?? resourceOf(textOf(ctx.oidc.params?.['scope'])),
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) =>
          resource === OPAQUE
            ? {
                scope: OPAQUE_SCOPES.join(' '),
                audience: OPAQUE,
                accessTokenTTL: server.ttl,
                accessTokenFormat: 'opaque',
              }
            : {
                scope: [
                  ...MAIL_SCOPES.map((scope) => `${resource}/${scope}`),
                  `${resource}/.default`,
                  ...(resource === GRAPH ? MAIL_SCOPES : []),
                ].join(' '),
                audience: server.audience ?? resource,
                accessTokenTTL: server.ttl,
                accessTokenFormat: 'jwt',
                jwt: { sign: { alg: 'RS256' } },
              },
      },
    },
    routes: {
      authorization: '/oauth2/v2.0/authorize',
      token: '/oauth2/v2.0/token',
      device_authorization: '/oauth2/v2.0/devicecode',
      code_verification: '/oauth2/deviceauth',
      introspection: '/oauth2/v2.0/introspect',
      revocation: '/oauth2/v2.0/revoke',
      jwks: '/discovery/v2.0/keys',
      userinfo: '/oidc/userinfo',
      end_session: '/oauth2/v2.0/logout',
    },
  };
}

function resourceOf(scope: string): string {
  for (const word of scope.split(' ')) {
    const outlook = OUTLOOK.find((resource) => word.startsWith(resource));
    if (outlook) return outlook;
    if (OPAQUE_SCOPES.includes(word)) return OPAQUE;
    if (word.startsWith(GRAPH) || MAIL_SCOPES.includes(word)) return GRAPH;
  }
  return OUTLOOK[0];
}

function addressOf(user: string): string {
  return `${user}@contoso.test`;
}
