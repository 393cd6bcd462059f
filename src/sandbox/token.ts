/** What the mail servers ask about a bearer token. */
import { verify } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { exchangeOnline, type Resource } from './authority/directory.ts';
import type { SigningKey } from './authority/keys.ts';
import { ACCESS_TOKEN_ISSUER } from './authority/tokens.ts';

export type TokenVerdict =
  | {
      readonly ok: true;
      /** Address of the person, absent in tokens of an application alone. */
      readonly identity?: string;
      /** Client id. */
      readonly application: string;
      readonly appOnly: boolean;
      /** Delegated permissions, short names. */
      readonly scopes: readonly string[];
      /** Application permissions. */
      readonly roles: readonly string[];
      readonly audience: string;
      /** Milliseconds since the epoch. */
      readonly expiresAt: number;
    }
  | { readonly ok: false; readonly reason: string; readonly why: TokenFlaw };

/** What is wrong with a token. */
export type TokenFlaw = 'malformed' | 'signature' | 'issuer' | 'audience' | 'expired';

export type TokenCheck = (token: string) => TokenVerdict;

/** Judges tokens as Exchange and Graph do: our signature, their audience, not expired. Permissions are for the caller to judge. */
export function createTokenCheck(
  key: Pick<SigningKey, 'kid' | 'publicKey'>,
  clock: Clock,
  resource: Resource = exchangeOnline,
): TokenCheck {
  return (token) => {
    const parts = token.split('.');
    const [header, claims] = parts.slice(0, 2).map(readPart);
    if (parts.length !== 3 || !header || !claims) return refused('malformed', 'not a JWT');
    if (header['alg'] !== 'RS256' || header['kid'] !== key.kid)
      return refused('signature', 'not signed by this tenant');
    const signature = Buffer.from(parts[2]!, 'base64url');
    const input = Buffer.from(`${parts[0]}.${parts[1]}`);
    if (!verify('sha256', input, key.publicKey, signature))
      return refused('signature', 'the signature does not verify');
    return judge(claims, clock.now(), resource);
  };
}

function judge(claims: Readonly<Record<string, unknown>>, now: number, resource: Resource): TokenVerdict {
  const { aud, iss, exp, upn, appid, scp, roles } = claims;
  if (iss !== ACCESS_TOKEN_ISSUER) return refused('issuer', 'not an access token');
  if (typeof aud !== 'string' || !resource.audiences.includes(aud))
    return refused('audience', `the token is for ${String(aud)}, not for ${resource.name}`);
  if (typeof exp !== 'number' || exp * 1000 <= now) return refused('expired', 'the token has expired');
  return {
    ok: true,
    ...(typeof upn === 'string' ? { identity: upn } : {}),
    application: String(appid),
    appOnly: typeof upn !== 'string',
    scopes: typeof scp === 'string' ? scp.split(' ').filter((name) => name !== '') : [],
    roles: Array.isArray(roles) ? roles.map(String) : [],
    audience: aud,
    expiresAt: exp * 1000,
  };
}

function refused(why: TokenFlaw, reason: string): TokenVerdict {
  return { ok: false, reason, why };
}

function readPart(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
