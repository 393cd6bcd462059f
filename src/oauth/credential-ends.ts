/** When the credentials of an application end: one answer for health, notices, checks and tables. Pure. */
import type { CredentialFacts } from '../store/types.ts';

export type CredentialOutlook =
  /** A public client. */
  | { readonly type: 'none' }
  /** One of them has no end. */
  | { readonly type: 'endless' }
  /** Only secrets, and nobody said when they end. */
  | { readonly type: 'unknown' }
  | {
      readonly type: 'known';
      /** The one that ends last of those whose end is known. */
      readonly last: CredentialFacts & { readonly expiresAt: number };
      /**
       * Secrets beside it whose end only the provider knows: `later` ones were added after it, to take its place; `other` ones may have
       * ended long ago.
       */
      readonly undated: 'none' | 'later' | 'other';
    };

/**
 * Of several credentials the provider is shown the first that it takes, so the end that comes last decides.
 */
export function credentialOutlook(credentials: readonly CredentialFacts[]): CredentialOutlook {
  if (credentials.length === 0) return { type: 'none' };
  if (credentials.some(({ type, expiresAt }) => expiresAt === undefined && type !== 'secret' && type !== 'certificate'))
    return { type: 'endless' };
  const known = credentials.flatMap((one) =>
    one.expiresAt === undefined ? [] : [{ ...one, expiresAt: one.expiresAt }],
  );
  const [last] = known.toSorted((a, b) => b.expiresAt - a.expiresAt);
  if (last === undefined) return { type: 'unknown' };
  const undated = credentials.filter(({ expiresAt }) => expiresAt === undefined);
  if (undated.length === 0) return { type: 'known', last, undated: 'none' };
  return { type: 'known', last, undated: undated.some(({ addedAt }) => addedAt > last.addedAt) ? 'later' : 'other' };
}

/** The end that people are told of in advance; undefined where there is none, or a later credential may do without. */
export function endToTell(
  credentials: readonly CredentialFacts[],
  now: number,
): (CredentialOutlook & { readonly type: 'known' }) | undefined {
  const outlook = credentialOutlook(credentials);
  if (outlook.type !== 'known' || outlook.undated === 'later') return undefined;
  // Once it has passed, renewals show whether one of the others still holds.
  return outlook.undated === 'other' && outlook.last.expiresAt <= now ? undefined : outlook;
}

const DAY_MS = 86_400_000;

/** Days by the calendar (UTC), as dates are printed: 0 on the day itself; negative when `at` has passed. */
export function daysUntil(at: number, now: number): number {
  if (at <= now) return Math.min(-1, Math.floor(at / DAY_MS) - Math.floor(now / DAY_MS));
  return Math.floor(at / DAY_MS) - Math.floor(now / DAY_MS);
}

/** `in 2 days`, `in 1 day`, `today`, `over`. */
export function countdown(at: number, now: number): string {
  const days = daysUntil(at, now);
  if (days < 0) return 'over';
  return days === 0 ? 'today' : days === 1 ? 'in 1 day' : `in ${days} days`;
}

/** The day as it is printed: `2026-12-02`. */
export const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10);
