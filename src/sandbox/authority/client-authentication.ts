/** Who is asking: client secret in the body or by Basic, signed assertions by certificate or federated credential. */
import { createHash, timingSafeEqual, type KeyObject } from 'node:crypto';
import { compactVerify, decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose';
import { microsoftTime, refuse } from './aadsts.ts';
import {
  EXCHANGE_AUDIENCE,
  TENANT_DOMAIN,
  TENANT_ID,
  type ApplicationCredential,
  type RegisteredApplication,
} from './directory.ts';
import { findApplication, type Platform } from './platform.ts';

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** What clocks may differ by, as Microsoft allows. */
const SKEW_MS = 300_000;

/** Client id and secret from an `Authorization: Basic` header, each form-encoded (RFC 6749 §2.3.1). */
export function basicCredentials(header: string | undefined): { id: string; secret: string } | undefined {
  const encoded = /^basic\s+([\w+/=-]+)\s*$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon < 0) throw refuse(9002313);
  try {
    const [id, secret] = [text.slice(0, colon), text.slice(colon + 1)].map((part) =>
      decodeURIComponent(part.replaceAll('+', ' ')),
    );
    return { id: id!, secret: secret! };
  } catch {
    throw refuse(9002313);
  }
}

/**
 * The application behind a token request, authenticated where it has credentials.
 * @throws sandbox.refused 900144, 700016, 7000112, 700025, 7000218, 7000215, 7000222, 50027, 700021, 700023, 700024, 700027, 700213
 */
export async function authenticateClient(
  platform: Platform,
  form: ReadonlyMap<string, string>,
  basic: { id: string; secret: string } | undefined,
): Promise<RegisteredApplication> {
  if (basic && form.has('client_id') && form.get('client_id') !== basic.id) throw refuse(9002313);
  const assertion = form.get('client_assertion');
  const id = basic?.id ?? form.get('client_id') ?? (assertion === undefined ? undefined : subjectOf(assertion));
  const application = findApplication(platform, id);
  const secret = basic?.secret ?? form.get('client_secret');
  if (application.publicClient) {
    if (secret !== undefined || assertion !== undefined) throw refuse(700025);
    return application;
  }
  if (assertion !== undefined) {
    if (form.get('client_assertion_type') !== ASSERTION_TYPE)
      throw refuse(900144, { parameter: 'client_assertion_type' });
    await verifyAssertion(platform, application, assertion);
    return application;
  }
  if (secret === undefined || secret === '') throw refuse(7000218);
  const known = application.credentials.filter(
    (credential) => credential.type === 'secret' && same(credential.value, secret),
  ) as Extract<ApplicationCredential, { type: 'secret' }>[];
  if (known.length === 0) throw refuse(7000215, { client: application.id });
  if (known.every(({ expiresAt }) => expiresAt <= platform.clock.now()))
    throw refuse(7000222, { client: application.id });
  return application;
}

function subjectOf(assertion: string): string {
  return unverified(assertion).claims.sub ?? '';
}

function unverified(assertion: string): { header: ReturnType<typeof decodeProtectedHeader>; claims: JWTPayload } {
  try {
    return { header: decodeProtectedHeader(assertion), claims: decodeJwt(assertion) };
  } catch {
    throw refuse(50027, { reason: 'IDX10709: JWT is not well formed' });
  }
}

async function verifyAssertion(
  platform: Platform,
  application: RegisteredApplication,
  assertion: string,
): Promise<void> {
  const { header, claims } = unverified(assertion);
  if (claims.iss === application.id) await verifyCertificateAssertion(platform, application, assertion, header, claims);
  else await verifyFederatedAssertion(platform, application, assertion, claims);
  rememberAssertion(platform, claims);
}

/** RFC 7523 §3 with Microsoft's certificate binding: the header names the registered certificate by thumbprint. */
async function verifyCertificateAssertion(
  platform: Platform,
  application: RegisteredApplication,
  assertion: string,
  header: ReturnType<typeof decodeProtectedHeader>,
  claims: JWTPayload,
): Promise<void> {
  if (claims.sub !== application.id) throw refuse(700021);
  const s256 = header['x5t#S256'];
  const thumbprint = typeof s256 === 'string' ? s256 : (header.x5t ?? '');
  const certificate = application.credentials.find(
    (credential): credential is Extract<ApplicationCredential, { type: 'certificate' }> =>
      credential.type === 'certificate' &&
      (s256 === undefined ? header.x5t === credential.sha1 : s256 === credential.sha256),
  );
  if (!certificate)
    throw refuse(700027, { reason: `The key was not found., Thumbprint of key used by client: '${thumbprint}'` });
  await verifySignature(assertion, certificate.publicKey, ['PS256', 'RS256']);
  if (certificate.expiresAt <= platform.clock.now())
    throw refuse(700027, { reason: `The key used is expired., Thumbprint of key used by client: '${thumbprint}'` });
  checkTimes(platform, claims);
  const audiences = [TENANT_ID, TENANT_DOMAIN, 'common', 'organizations'].flatMap((tenant) => [
    `${platform.origin}/${tenant}/oauth2/v2.0/token`,
    `${platform.origin}/${tenant}/v2.0`,
  ]);
  if (!toList(claims.aud).some((audience) => audiences.includes(audience))) throw refuse(700023);
}

/** A token of a trusted foreign issuer instead of a credential (workload identity federation): exact issuer and subject. */
async function verifyFederatedAssertion(
  platform: Platform,
  application: RegisteredApplication,
  assertion: string,
  claims: JWTPayload,
): Promise<void> {
  const credential = application.credentials.find(
    (candidate): candidate is Extract<ApplicationCredential, { type: 'federated' }> =>
      candidate.type === 'federated' && candidate.issuer === claims.iss && candidate.subject === claims.sub,
  );
  const known = credential !== undefined && toList(claims.aud).includes(EXCHANGE_AUDIENCE);
  if (!known) throw refuse(700213, { subject: String(claims.sub) });
  await verifySignature(assertion, credential.publicKey, ['RS256']);
  checkTimes(platform, claims);
}

async function verifySignature(assertion: string, key: KeyObject, algorithms: string[]): Promise<void> {
  try {
    await compactVerify(assertion, key, { algorithms });
  } catch (error) {
    throw refuse(700027, {
      reason: `The key was found, but the signature did not verify: ${(error as Error).message}`,
    });
  }
}

function checkTimes(platform: Platform, claims: JWTPayload): void {
  const now = platform.clock.now();
  const expires = (claims.exp ?? 0) * 1000;
  const notBefore = (claims.nbf ?? 0) * 1000;
  if (expires + SKEW_MS <= now || notBefore - SKEW_MS > now)
    throw refuse(700024, { now: microsoftTime(now), expires: microsoftTime(expires) });
}

function rememberAssertion(platform: Platform, claims: JWTPayload): void {
  if (platform.options.assertionReuse === 'microsoft') return;
  const { state, clock } = platform;
  if (claims.jti === undefined) throw refuse(50027, { reason: 'the claim jti is missing' });
  const key = `${claims.iss} ${claims.jti}`;
  if (state.live(state.assertions, key)) throw refuse(50027, { reason: 'the assertion with this jti was used before' });
  for (const [old, seen] of state.assertions) if (seen.expiresAt <= clock.now()) state.assertions.delete(old);
  state.assertions.set(key, { expiresAt: (claims.exp ?? 0) * 1000 + SKEW_MS });
}

function toList(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === 'string' ? [value] : value;
}

function same(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => createHash('sha256').update(text).digest());
  return timingSafeEqual(a!, b!);
}
