/**
 * Verification of ID tokens (OpenID Connect Core §3.1.3.7): signature by the issuer's key set, issuer, audience, time, nonce,
 * tenant. Our own on `jose`, because Microsoft's shared tenants publish an issuer with a placeholder.
 */
import { foldCase } from '../base/case.ts';
import { createLocalJWKSet, decodeJwt, errors, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose';
import type { Clock } from '../base/clock.ts';
import { isError } from '../base/error.ts';
import type { Secret } from '../base/secret.ts';
import type { DelegatedEngine, TokenAnswer } from './engine.ts';
import { oauthError } from './errors.ts';
import type { Http } from './http.ts';
import { CONSUMER_TENANT, type ProviderProfile } from './provider.ts';

export interface Identity {
  /** Every address the token names, lower case, best first. */
  readonly addresses: readonly string[];
  /** `oid` at Microsoft, else `sub`. */
  readonly subject: string;
}

export interface IdTokenChecks extends Pick<ProviderProfile, 'issuer' | 'microsoft' | 'tenantId'> {
  readonly jwksUri: string;
  readonly clientId: string;
  /** The nonce sent, or undefined for flows without one (device code). */
  readonly nonce: string | undefined;
}

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const TOLERANCE_SECONDS = 60;

/**
 * Who signed in. Undefined where the provider issues no ID tokens; then its mail servers alone tie the token to the mailbox.
 * @throws oauth.id-token-invalid, oauth.provider-unreachable (key set)
 */
export async function verifiedIdentity(
  answer: TokenAnswer,
  client: {
    readonly profile: ProviderProfile;
    readonly delegated: DelegatedEngine;
    readonly http: Http;
    readonly clientId: string;
    readonly nonce: IdTokenChecks['nonce'];
  },
  clock: Clock,
): Promise<Identity | undefined> {
  const { profile, clientId, nonce, http } = client;
  if (profile.identity === 'mail-server' && !answer.idToken) return undefined;
  const jwksUri = await client.delegated.keySet();
  if (!answer.idToken || !jwksUri) {
    // An authorization server without OpenID Connect (RFC 8414 only), where `openid` was not asked for.
    if (!profile.baseScopes.includes('openid')) return undefined;
    throw oauthError('oauth.id-token-invalid', 'the provider gave no identity token, so nobody knows who signed in');
  }
  const { issuer, microsoft, tenantId } = profile;
  return verifyIdToken(answer.idToken, { issuer, jwksUri, clientId, nonce, microsoft, tenantId }, { http, clock });
}

/** @throws oauth.id-token-invalid, oauth.provider-unreachable (key set) */
export async function verifyIdToken(
  token: Secret,
  checks: IdTokenChecks,
  deps: { http: Http; clock: Clock },
): Promise<Identity> {
  const keys = await fetchKeys(checks.jwksUri, deps.http);
  try {
    const expectedIssuer = issuerFor(token, checks.issuer);
    const { payload, protectedHeader } = await jwtVerify(token.reveal(), createLocalJWKSet(keys), {
      issuer: expectedIssuer,
      audience: checks.clientId,
      algorithms: ALGORITHMS,
      clockTolerance: TOLERANCE_SECONDS,
      currentDate: new Date(deps.clock.now()),
      requiredClaims: ['sub', 'exp', 'iat'],
    });
    checkAuthorizedParty(payload, checks.clientId);
    if (checks.nonce !== undefined && payload['nonce'] !== checks.nonce)
      throw invalid('its nonce is not the one we sent');
    if (checks.tenantId !== undefined && String(payload['tid']).toLowerCase() !== checks.tenantId) {
      throw invalid(`it was issued for another tenant (${String(payload['tid'])})`);
    }
    checkKeyIssuer(keys, protectedHeader.kid, expectedIssuer);
    return identityOf(payload, checks.microsoft);
  } catch (cause) {
    if (isError(cause)) throw cause;
    throw invalid(cause instanceof errors.JOSEError ? cause.message : String(cause), cause);
  }
}

/** Entra: `{tenantid}` stands for the token's own `tid`, which then must make the issuer exactly. */
function issuerFor(token: Secret, issuer: string): string {
  if (!issuer.includes('{tenantid}')) return issuer;
  const tid = decodeJwt(token.reveal())['tid'];
  if (typeof tid !== 'string' || !/^[0-9a-f-]{36}$/i.test(tid)) throw invalid('it names no tenant');
  return issuer.replace('{tenantid}', tid);
}

/** OpenID Connect Core §3.1.3.7 (4, 5): with several audiences, or an `azp`, that party must be us. */
function checkAuthorizedParty(payload: JWTPayload, clientId: string): void {
  const azp = payload['azp'];
  if (azp !== undefined && azp !== clientId) throw invalid('it was issued to another client');
  if (Array.isArray(payload.aud) && payload.aud.length > 1 && azp === undefined)
    throw invalid('it names several audiences');
}

/** Entra keys may carry their own issuer: a key of the consumer directory must not sign for an organisation. */
function checkKeyIssuer(keys: JSONWebKeySet, kid: string | undefined, issuer: string): void {
  const key = keys.keys.find((candidate) => candidate.kid === kid) as { issuer?: unknown } | undefined;
  if (typeof key?.issuer !== 'string') return;
  const isConsumerKey = key.issuer.includes(CONSUMER_TENANT);
  if (isConsumerKey !== issuer.includes(CONSUMER_TENANT) && !key.issuer.includes('{tenantid}')) {
    throw invalid('its key belongs to another issuer');
  }
}

function identityOf(payload: JWTPayload, microsoft: boolean): Identity {
  // OpenID Connect Core §5.1: only a verified address proves anything. Entra's `email` is whatever the tenant wrote there.
  const verifiedEmail = payload['email_verified'] === true ? payload['email'] : undefined;
  // §5.7: `preferred_username` is an administrator's to give at Microsoft; elsewhere people choose it, somebody else's address too.
  const given = microsoft ? [payload['preferred_username'], payload['upn']] : [];
  const addresses = [...given, verifiedEmail]
    .filter((claim): claim is string => typeof claim === 'string' && claim.includes('@'))
    .map((claim) => foldCase(claim));
  const subject = typeof payload['oid'] === 'string' ? payload['oid'] : String(payload.sub);
  return { addresses: [...new Set(addresses)], subject };
}

async function fetchKeys(uri: string, http: Http): Promise<JSONWebKeySet> {
  const answer = await http.request(uri, { method: 'GET', headers: { accept: 'application/json' } });
  if (answer.status >= 500 || answer.status === 429) {
    throw oauthError('oauth.provider-unreachable', `the provider’s key set answered ${answer.status}`, {
      detail: { uri },
    });
  }
  const body: unknown = answer.ok ? await answer.json().catch(() => undefined) : undefined;
  if (typeof body === 'object' && body !== null && 'keys' in body && Array.isArray(body.keys))
    return body as JSONWebKeySet;
  throw invalid(`the provider’s key set could not be read (status ${answer.status})`);
}

function invalid(reason: string, cause?: unknown): Error {
  return oauthError('oauth.id-token-invalid', `the identity token is not valid: ${reason}`, { cause });
}
