/** What the mail servers ask about a bearer token. */
import { verify } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { exchangeOnline } from './authority/directory.ts';
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
  | { readonly ok: false; readonly reason: string };

export type TokenCheck = (token: string) => TokenVerdict;

/** Judges tokens as Exchange does: our signature, an Outlook audience, not expired. Permissions are for the caller to judge. */
export function createTokenCheck(key: Pick<SigningKey, 'kid' | 'publicKey'>, clock: Clock): TokenCheck {
  return (token) => {
    const parts = token.split('.');
    const [header, claims] = parts.slice(0, 2).map(readPart);
    if (parts.length !== 3 || !header || !claims) return refused('not a JWT');
    if (header['alg'] !== 'RS256' || header['kid'] !== key.kid) return refused('not signed by this tenant');
    const signature = Buffer.from(parts[2]!, 'base64url');
    const input = Buffer.from(`${parts[0]}.${parts[1]}`);
    if (!verify('sha256', input, key.publicKey, signature)) return refused('the signature does not verify');
    return judge(claims, clock.now());
  };
}

function judge(claims: Readonly<Record<string, unknown>>, now: number): TokenVerdict {
  const { aud, iss, exp, upn, appid, scp, roles } = claims;
  if (iss !== ACCESS_TOKEN_ISSUER) return refused('not an access token');
  if (typeof aud !== 'string' || !exchangeOnline.audiences.includes(aud))
    return refused(`the token is for ${String(aud)}, not for mail`);
  if (typeof exp !== 'number' || exp * 1000 <= now) return refused('the token has expired');
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

function refused(reason: string): TokenVerdict {
  return { ok: false, reason };
}

function readPart(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
