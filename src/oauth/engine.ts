/**
 * What a token engine does. Two implement it: `openid-client` for every delegated grant and every standard provider, and
 * Microsoft's own library for app-only tokens at Microsoft (docs/decisions/004-two-oauth-engines.md). The caller holds the
 * grant's lease around every call.
 */
import type { Secret } from '../base/secret.ts';

export interface TokenAnswer {
  readonly accessToken: Secret;
  /** The rotated one, or undefined when the old stays good. App-only answers never have one. */
  readonly refreshToken: Secret | undefined;
  readonly idToken: Secret | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** As the provider names them; as asked where it is silent (RFC 6749 §5.1). */
  readonly scopes: readonly string[];
  /** When the refresh token ends, where the provider says so. Milliseconds since the epoch. */
  readonly refreshExpiresAt?: number;
}

/**
 * Every method @throws oauth.provider-unreachable, oauth.provider-busy (later), oauth.needs-consent (denied),
 * oauth.admin-consent (denied), oauth.misconfigured (misuse), oauth.provider-garbled.
 */
export interface TokenEngine {
  /**
   * Client credentials (RFC 6749 §4.4), a managed identity's token, or a service account's for one person (RFC 7523 §2.1).
   * @param subject the person's address; for service accounts only
   */
  appOnly(scopes: readonly string[], subject?: string): Promise<TokenAnswer>;
  close(): Promise<void>;
}

export interface AuthorizationRequest {
  readonly redirectUri: string;
  readonly scopes: readonly string[];
  readonly state: string;
  readonly nonce: string;
  /** RFC 7636 S256 challenge. */
  readonly codeChallenge: string;
  readonly loginHint: string;
}

export interface CodeRedemption {
  /** The address the browser was sent to, with its parameters. */
  readonly answer: URL;
  readonly redirectUri: string;
  readonly state: string;
  readonly codeVerifier: string;
  readonly scopes: readonly string[];
}

/** RFC 8628 §3.2. */
export interface DevicePrompt {
  readonly userCode: string;
  readonly verificationUri: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** The provider's words, or ours, for the person. */
  readonly message: string;
}

export interface DelegatedEngine extends TokenEngine {
  authorizationUrl(request: AuthorizationRequest): Promise<URL>;
  /** @throws also oauth.redirect-mismatch (state, issuer), oauth.consent-declined */
  redeem(redemption: CodeRedemption): Promise<TokenAnswer>;
  /** @throws also oauth.flow-unavailable, oauth.consent-declined, oauth.consent-expired; the signal's reason when aborted */
  device(scopes: readonly string[], show: (prompt: DevicePrompt) => void, signal: AbortSignal): Promise<TokenAnswer>;
  /** RFC 6749 §6. Takes no signal: the answer carries the only copy of a rotated token, so nobody may stop waiting for it. */
  refresh(refreshToken: Secret, scopes: readonly string[]): Promise<TokenAnswer>;
  /** RFC 7009. */
  revoke(token: Secret, kind: 'refresh_token' | 'access_token'): Promise<'revoked' | 'not-offered'>;
  /** Where ID tokens are verified; undefined where the provider publishes no keys. */
  keySet(): Promise<string | undefined>;
}
