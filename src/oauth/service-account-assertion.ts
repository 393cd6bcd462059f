/** What a service account's key signs to get a token for one person (RFC 7523). */
import { createPrivateKey } from 'node:crypto';
import { importPKCS8, SignJWT } from 'jose';
import type { ClientCredential } from './application.ts';
import { oauthError } from './errors.ts';

/** RFC 7523 §3 as Google wants it (“Using OAuth 2.0 for server to server applications”): RS256, an hour at most, scope inside. */
export async function serviceAccountAssertion(
  { email, keyId, privateKey }: Extract<ClientCredential, { type: 'service-account' }>,
  ask: {
    readonly audience: string;
    readonly subject: string | undefined;
    readonly scopes: readonly string[];
    readonly now: number;
  },
): Promise<string> {
  if (ask.subject === undefined)
    throw oauthError('oauth.misconfigured', 'a service account acts for a person, and no mailbox was named');
  const pem = createPrivateKey(privateKey.reveal()).export({ type: 'pkcs8', format: 'pem' }).toString();
  const issuedAt = Math.floor(ask.now / 1000);
  return new SignJWT({ scope: ask.scopes.join(' ') })
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', ...(keyId === undefined ? {} : { kid: keyId }) })
    .setIssuer(email)
    .setSubject(ask.subject)
    .setAudience(ask.audience)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + ASSERTION_S)
    .sign(await importPKCS8(pem, 'RS256'));
}

/** It is used at once; Google allows an hour. */
const ASSERTION_S = 300;
