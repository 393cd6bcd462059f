/** Telling a provider that a grant is not needed any more (RFC 7009), when nobody here will use it again. */
import { foldCase } from '../base/case.ts';
import { asError, type PosternError } from '../base/error.ts';
import type { Grant, Store } from '../store/types.ts';
import { openClient } from './engines.ts';
import { isAppOnly } from './flows.ts';
import { type GrantTokens, openTokens } from './grant-tokens.ts';
import type { RenewalDeps } from './renewal-deps.ts';
import { presetById } from './providers.ts';

export interface RevocationDeps extends Pick<RenewalDeps, 'store' | 'vault' | 'clock'> {
  /** How long the provider may take. Default 15 s. */
  readonly timeoutMs?: number;
}

export type Revocation =
  | { readonly type: 'revoked' }
  /** There were no tokens: nothing was ever consented to, or it ended. */
  | { readonly type: 'nothing-to-revoke' }
  /** The provider has no endpoint for it (Microsoft has none). */
  | { readonly type: 'not-offered'; readonly byHand: string }
  /** An application's own tokens rest on its permissions, not on a consent that a token stands for. */
  | { readonly type: 'app-only'; readonly byHand: string }
  /** Providers end all that a person consented to for the application, and another grant here still needs it. */
  | { readonly type: 'still-used'; readonly byHand: string }
  | { readonly type: 'failed'; readonly error: PosternError; readonly byHand: string };

const PATIENCE_MS = 15_000;

/**
 * Revokes what the grant holds. For a grant that was just taken out of the store: otherwise it would be renewed meanwhile.
 * Never rejects: the person is told what is left to do by hand.
 */
export async function revokeGrant(deps: RevocationDeps, grant: Grant): Promise<Revocation> {
  let byHand = 'ask its provider to withdraw the application’s access';
  try {
    const application = await deps.store.applications.find(grant.applicationId);
    const preset = presetById(application?.provider ?? '');
    if (preset?.consents !== undefined) byHand = `withdraw the consent as ${grant.identity}: ${preset.consents}`;
    if (isAppOnly(grant.flow))
      return {
        type: 'app-only',
        byHand: `what the application ${application?.name ?? ''} may do ends with its permissions or credentials at the provider`,
      };
    if (application === undefined || grant.tokens === undefined) return { type: 'nothing-to-revoke' };
    if (await hasTwin(deps.store, grant)) return { type: 'still-used', byHand };
    const tokens = await openTokens(deps.vault, grant);
    if (tokens === undefined) return { type: 'nothing-to-revoke' };
    return (await revokeAt(deps, application, tokens)) === 'revoked'
      ? { type: 'revoked' }
      : { type: 'not-offered', byHand };
  } catch (error) {
    return { type: 'failed', error: asError(error), byHand };
  }
}

async function hasTwin(store: Store, { id, applicationId, identity }: Grant): Promise<boolean> {
  const same = (other: Pick<Grant, 'id' | 'applicationId' | 'identity'>): boolean =>
    other.id !== id && other.applicationId === applicationId && foldCase(other.identity) === foldCase(identity);
  return (await store.grants.overview()).some(same);
}

async function revokeAt(
  { vault, clock, timeoutMs = PATIENCE_MS }: RevocationDeps,
  application: Parameters<typeof openClient>[1],
  { refreshToken, accessToken }: GrantTokens,
): Promise<'revoked' | 'not-offered'> {
  const client = await openClient({ vault, clock, timeoutMs }, application);
  try {
    // RFC 7009 §2.1: with a refresh token go the access tokens of the same grant.
    return await client.delegated.revoke(refreshToken ?? accessToken, refreshToken ? 'refresh_token' : 'access_token');
  } finally {
    await client.close();
  }
}
