/** One sign-in by authorization code (RFC 6749 §4.1) with PKCE (RFC 7636), state and nonce. */
import { createHash, randomBytes } from 'node:crypto';
import type { AuthorizationRequest, DelegatedEngine, TokenAnswer } from './engine.ts';

export interface CodeFlow {
  /** Where the person's browser goes. */
  readonly url: URL;
  /** What the ID token must repeat. */
  readonly nonce: string;
  /** @param answer the address the browser came back to. @throws as {@link DelegatedEngine.redeem} */
  redeem(answer: URL): Promise<TokenAnswer>;
}

export async function beginCodeFlow(
  engine: DelegatedEngine,
  ask: Pick<AuthorizationRequest, 'redirectUri' | 'scopes' | 'loginHint'>,
): Promise<CodeFlow> {
  const [state, nonce, codeVerifier] = [randomWord(), randomWord(), randomWord()];
  const codeChallenge = createHash('sha256').update(codeVerifier).digest('base64url');
  const { redirectUri, scopes } = ask;
  return {
    url: await engine.authorizationUrl({ ...ask, state, nonce, codeChallenge }),
    nonce,
    redeem: (answer) => engine.redeem({ answer, redirectUri, state, codeVerifier, scopes }),
  };
}

/** 256 random bits: state, nonce and PKCE verifier alike (RFC 7636 §4.1). */
function randomWord(): string {
  return randomBytes(32).toString('base64url');
}
