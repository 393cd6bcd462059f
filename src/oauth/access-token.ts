/**
 * What can be read from an access token: audience, permissions, expiry. Access tokens are the resource server's business
 * (RFC 9068 §6), so nothing is *trusted* because of this; it only catches early what the mail server would refuse later
 * with no reason given. Opaque tokens pass.
 */
import { decodeJwt } from 'jose/jwt/decode';
import type { JWTPayload } from 'jose';
import type { Secret } from '../base/secret.ts';
import type { Protocol } from '../store/protocols.ts';
import { oauthError } from './errors.ts';
import type { ProviderProfile } from './provider.ts';

const GRAPH = new Set(['https://graph.microsoft.com', '00000003-0000-0000-c000-000000000000']);
const ROLES: Partial<Record<Protocol, string>> = {
  imap: 'IMAP.AccessAsApp',
  pop3: 'POP.AccessAsApp',
  // SMTP may be allowed by Exchange's own role assignments instead, and then must not be in the token.
};

/**
 * @param needs the protocols the token is to serve, and whether it speaks for an application instead of a person
 * @throws oauth.wrong-audience, oauth.role-missing, oauth.scope-missing
 */
export function checkAccessToken(
  token: Secret,
  profile: ProviderProfile,
  needs: { readonly protocols: readonly Protocol[]; readonly appOnly: boolean },
): void {
  const claims = readClaims(token);
  if (!claims) return;
  checkAudience(claims, profile);
  if (!profile.microsoft) return;
  if (needs.appOnly) checkRoles(claims, needs.protocols);
  else checkScp(claims, profile, needs.protocols);
}

/** Only the audience: the check that is cheap and never wrong, done on every renewal. @throws oauth.wrong-audience */
export function checkAccessTokenAudience(token: Secret, profile: ProviderProfile): void {
  const claims = readClaims(token);
  if (claims) checkAudience(claims, profile);
}

/** What a readable token says of itself, for a diagnosis; undefined for opaque ones. */
export interface AccessTokenClaims {
  readonly audience: readonly string[];
  /** Delegated permissions. */
  readonly scopes: readonly string[];
  /** Application permissions. */
  readonly roles: readonly string[];
  readonly tenant: string | undefined;
  /** Microsoft: of the person or service principal that it speaks for. */
  readonly objectId: string | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | undefined;
}

export function describeAccessToken(token: Secret): AccessTokenClaims | undefined {
  const claims = readClaims(token);
  if (!claims) return undefined;
  const { aud, exp } = claims;
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  const words = text(claims['scp'] ?? claims['scope']) ?? '';
  return {
    audience: [aud ?? []].flat(),
    scopes: words.split(' ').filter(Boolean),
    roles: Array.isArray(claims['roles']) ? claims['roles'].filter((role) => typeof role === 'string') : [],
    tenant: text(claims['tid']),
    objectId: text(claims['oid']),
    expiresAt: exp === undefined ? undefined : exp * 1000,
  };
}

function readClaims(token: Secret): JWTPayload | undefined {
  const text = token.reveal();
  if (!/^[\w-]+\.[\w-]+\.[\w-]*$/.test(text)) return undefined;
  try {
    return decodeJwt(text);
  } catch {
    // Three words with dots between, yet not a JWT: opaque, as personal Microsoft accounts' tokens are.
    return undefined;
  }
}

function checkAudience(claims: JWTPayload, profile: ProviderProfile): void {
  const audiences = [claims.aud ?? []].flat().map((aud) => aud.replace(/\/$/, ''));
  if (audiences.length === 0) return;
  const graph = audiences.find((aud) => GRAPH.has(aud));
  if (graph) {
    throw oauthError('oauth.wrong-audience', 'the access token is for Microsoft Graph, which no mail server accepts', {
      detail: { audience: graph, expected: profile.audiences },
    });
  }
  const accepted = profile.audiences.map((aud) => aud.replace(/\/$/, ''));
  if (accepted.length > 0 && !audiences.some((aud) => accepted.includes(aud))) {
    throw oauthError(
      'oauth.wrong-audience',
      `the access token is for ${audiences.join(', ')}, not for the mail servers`,
      {
        detail: { audience: audiences, expected: profile.audiences },
      },
    );
  }
}

function checkRoles(claims: JWTPayload, protocols: readonly Protocol[]): void {
  const roles = Array.isArray(claims['roles']) ? claims['roles'] : [];
  const missing = protocols.flatMap((protocol) => {
    const role = ROLES[protocol];
    return role && !roles.includes(role) ? [role] : [];
  });
  if (missing.length === 0) return;
  throw oauthError('oauth.role-missing', `the application lacks the permission ${missing.join(', ')}`, {
    detail: { missing, roles },
    hint: `add ${missing.join(', ')} of Office 365 Exchange Online as application permission and grant admin consent`,
  });
}

function checkScp(claims: JWTPayload, profile: ProviderProfile, protocols: readonly Protocol[]): void {
  if (typeof claims['scp'] !== 'string') return;
  const has = new Set(claims['scp'].toLowerCase().split(' ').map(lastPart));
  const needed = protocols.flatMap((protocol) => profile.scopes[protocol] ?? []);
  const missing = needed.filter((scope) => !has.has(lastPart(scope.toLowerCase())));
  if (missing.length === 0) return;
  throw oauthError('oauth.scope-missing', `the access token lacks ${missing.join(', ')}`, { detail: { missing } });
}

/** Tokens name `IMAP.AccessAsUser.All`, requests `https://outlook.office.com/IMAP.AccessAsUser.All`. */
function lastPart(scope: string): string {
  return scope.slice(scope.lastIndexOf('/') + 1);
}
