/** Which scopes a mailbox needs, and whether a grant has them: least privilege, from the protocols alone. */
import type { Protocol } from '../store/protocols.ts';
import { oauthError } from './errors.ts';
import type { ProviderProfile } from './provider.ts';

/** Part of the sign-in itself, never a privilege on mail (OpenID Connect Core §5.4, §11). */
const SIGN_IN_SCOPES = new Set(['openid', 'profile', 'email', 'offline_access', 'address', 'phone']);

/**
 * The scopes to ask for: those of the protocols, and what renewal and the identity check need.
 * @throws oauth.not-granted (the provider has no scope for a protocol)
 */
export function scopesFor(profile: ProviderProfile, protocols: readonly Protocol[]): readonly string[] {
  return [...new Set([...profile.baseScopes, ...mailScopes(profile, protocols)])];
}

/** As {@link scopesFor}, without those of the sign-in. */
export function mailScopes(profile: ProviderProfile, protocols: readonly Protocol[]): readonly string[] {
  const wanted = protocols.flatMap((protocol) => {
    const scopes = profile.scopes[protocol] ?? [];
    if (scopes.length > 0) return scopes;
    throw oauthError('oauth.not-granted', `${profile.preset.name} has no OAuth scope for ${protocol}`, {
      hint: `leave ${protocol} out, or set scopes.${protocol} in the application’s settings`,
      detail: { protocol, provider: profile.preset.id },
    });
  });
  return [...new Set(wanted)];
}

export interface ScopeComparison {
  /** Asked for but not granted. */
  readonly missing: readonly string[];
  /** Granted but not needed. */
  readonly extra: readonly string[];
}

/** Compares mail scopes, ignoring case and trailing slashes, as servers write them back freely; sign-in scopes are left out. */
export function compareScopes(needed: readonly string[], granted: readonly string[]): ScopeComparison {
  const plain = (scope: string): string => scope.toLowerCase().replace(/\/$/, '');
  const isMail = (scope: string): boolean => !SIGN_IN_SCOPES.has(scope.toLowerCase());
  const has = new Set(granted.map(plain));
  const wants = new Set(needed.map(plain));
  return {
    missing: needed.filter((scope) => isMail(scope) && !has.has(plain(scope))),
    extra: granted.filter((scope) => isMail(scope) && !wants.has(plain(scope))),
  };
}

/** RFC 6749 §3.3: words separated by spaces; an absent answer means "as asked" (§5.1). */
export function parseScope(scope: string | undefined, asked: readonly string[]): readonly string[] {
  return scope === undefined ? asked : [...new Set(scope.split(' ').filter(Boolean))];
}
