/** Makes access tokens, ID tokens and the token response around them. */
import { createHash, randomBytes, randomInt, sign } from 'node:crypto';
import { exchangeOnline, graph, TENANT_ID, type RegisteredApplication, type User } from './directory.ts';
import type { SigningKey } from './keys.ts';
import type { Platform } from './platform.ts';
import { fullNames } from './scope.ts';
import type { Grant } from './state.ts';
import { bitesToken } from './strike.ts';

/** Issuer of ID tokens and of managed-identity tokens. */
export function issuer(origin: string): string {
  return `${origin}/${TENANT_ID}/v2.0`;
}

/** Issuer of access tokens for mail: Exchange gets tokens of version 1.0, which name another issuer. */
export const ACCESS_TOKEN_ISSUER = `https://sts.windows.net/${TENANT_ID}/`;

/** Compact JWS with RS256 (RFC 7515 §7.1, RFC 7518 §3.3). */
export function signJwt(key: SigningKey, claims: Readonly<Record<string, unknown>>): string {
  const header = { typ: 'JWT', alg: 'RS256', kid: key.kid, x5t: key.kid };
  const input = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${input}.${sign('sha256', Buffer.from(input), key.privateKey).toString('base64url')}`;
}

/** The successful body of the token endpoint (RFC 6749 §5.1) with Microsoft's additions. */
export interface TokenResponse {
  readonly token_type: 'Bearer';
  readonly scope?: string;
  readonly expires_in: number;
  readonly ext_expires_in: number;
  readonly access_token: string;
  readonly refresh_token?: string;
  readonly id_token?: string;
  readonly client_info?: string;
}

/** Tokens for a person. `names` are permission short names; a refresh token comes only where the grant has `offline_access`. */
export function issueDelegated(
  platform: Platform,
  grant: Grant,
  wanted: { audience: string; names: readonly string[]; oidc: readonly string[]; nonce?: string; clientInfo: boolean },
): TokenResponse {
  const { user, application } = grant;
  const lifetime = bitesToken(platform, 'access-token-short-lived', user)?.value ?? accessTokenLifetime(platform);
  const audience = meantFor(platform, wanted.audience, user);
  const names = wanted.names.length > 0 && bitesToken(platform, 'scope-missing', user) ? ['User.Read'] : wanted.names;
  const access_token = signJwt(platform.signingKey, {
    ...accessClaims(platform, audience, lifetime, application),
    name: user.name,
    oid: user.objectId,
    sub: pairwise(user.objectId, wanted.audience),
    scp: names.join(' '),
    unique_name: user.address,
    upn: user.address,
  });
  const info = { uid: user.objectId, utid: TENANT_ID };
  return {
    token_type: 'Bearer',
    scope: fullNames(wanted.audience, wanted.names).join(' '),
    expires_in: lifetime,
    ext_expires_in: lifetime,
    access_token,
    ...(grant.scope.oidc.includes('offline_access') ? { refresh_token: platform.state.issueRefreshToken(grant) } : {}),
    ...(wanted.oidc.includes('openid') ? { id_token: idToken(platform, user, application, wanted) } : {}),
    ...(wanted.clientInfo ? { client_info: Buffer.from(JSON.stringify(info)).toString('base64url') } : {}),
  };
}

/** A token for an application itself: its granted roles, no refresh token ever. */
export function issueAppOnly(platform: Platform, application: RegisteredApplication, audience: string): TokenResponse {
  const lifetime =
    bitesToken(platform, 'access-token-short-lived', undefined)?.value ?? platform.options.tokenLifetime ?? 3599;
  const granted =
    application.roles.length > 0 && bitesToken(platform, 'role-missing', undefined) ? [] : application.roles;
  const roles = granted.length === 0 ? {} : { roles: granted };
  const access_token = signJwt(platform.signingKey, {
    ...accessClaims(platform, meantFor(platform, audience, undefined), lifetime, application),
    idtyp: 'app',
    oid: application.objectId,
    sub: application.objectId,
    ...roles,
  });
  return { token_type: 'Bearer', expires_in: lifetime, ext_expires_in: lifetime, access_token };
}

/** The audience asked for, unless a fault says otherwise. */
function meantFor(platform: Platform, audience: string, user: User | undefined): string {
  const forMail = exchangeOnline.audiences.includes(audience);
  return forMail && bitesToken(platform, 'wrong-audience', user) ? graph.audiences[0]! : audience;
}

/** Seconds: fixed by option, else Microsoft's 60 to 90 minutes. */
function accessTokenLifetime(platform: Platform): number {
  return platform.options.tokenLifetime ?? randomInt(3600, 5400);
}

function accessClaims(
  platform: Platform,
  audience: string,
  lifetime: number,
  application: RegisteredApplication,
): object {
  const now = Math.floor(platform.clock.now() / 1000);
  return {
    aud: audience,
    iss: ACCESS_TOKEN_ISSUER,
    iat: now,
    nbf: now - 300,
    exp: now + lifetime,
    app_displayname: application.name,
    appid: application.id,
    appidacr: application.publicClient ? '0' : application.credentials[0]?.type === 'secret' ? '1' : '2',
    tid: TENANT_ID,
    uti: randomBytes(16).toString('base64url'),
    ver: '1.0',
  };
}

function idToken(
  platform: Platform,
  user: User,
  application: RegisteredApplication,
  wanted: { oidc: readonly string[]; nonce?: string },
): string {
  const now = Math.floor(platform.clock.now() / 1000);
  return signJwt(platform.signingKey, {
    aud: application.id,
    iss: issuer(platform.origin),
    iat: now,
    nbf: now,
    exp: now + 3600,
    ...(wanted.nonce === undefined ? {} : { nonce: wanted.nonce }),
    ...(wanted.oidc.includes('email') ? { email: user.address } : {}),
    ...(wanted.oidc.includes('profile')
      ? { name: user.name, preferred_username: user.address, oid: user.objectId }
      : {}),
    sub: pairwise(user.objectId, application.id),
    tid: TENANT_ID,
    uti: randomBytes(16).toString('base64url'),
    ver: '2.0',
  });
}

/** Subjects differ per application, so that two of them cannot compare notes (OpenID Connect Core §8.1). */
function pairwise(objectId: string, sector: string): string {
  return createHash('sha256').update(`${objectId} ${sector}`).digest('base64url');
}
