/** `/{tenant}/oauth2/v2.0/token` and `/devicecode`: every grant type (RFC 6749 §4–6, RFC 7636, RFC 8628). */
import { createHash } from 'node:crypto';
import { isError } from '../../base/error.ts';
import { microsoftTime, refusalOf, refuse } from './aadsts.ts';
import { authenticateClient, basicCredentials } from './client-authentication.ts';
import { exchangeOnline, type RegisteredApplication, type User } from './directory.ts';
import { findApplication, recordRequest, resolveTenant, type Platform } from './platform.ts';
import { parseScope, permissionKey, type ResourceScopes, type ScopeRequest } from './scope.ts';
import { DEVICE_CODE_MS, REFRESH_TOKEN_MS, type AuthorizationRequest, type Grant } from './state.ts';
import { loseAnswer, strike } from './strike.ts';
import { issueAppOnly, issueDelegated, type TokenResponse } from './tokens.ts';

export interface TokenRequest {
  /** Path segment. */
  readonly tenant: string;
  readonly form: ReadonlyMap<string, string>;
  readonly authorization: string | undefined;
}

type Form = ReadonlyMap<string, string>;

/** Answers one token request and notes it in the request log. @throws sandbox.refused */
export async function token(platform: Platform, request: TokenRequest): Promise<TokenResponse> {
  const record = (outcome: string): void =>
    recordRequest(platform, request.form, basicIdOf(request.authorization), outcome);
  try {
    const response = await answer(platform, request);
    record('issued');
    return response;
  } catch (error) {
    const refusal = refusalOf(error);
    if (isError(error, 'sandbox.fault')) record(`fault: ${error.message}`);
    else record(refusal ? `${refusal.error} AADSTS${refusal.aadsts}` : 'server_error');
    throw error;
  }
}

/** RFC 7009 §2: a refresh token takes its whole grant with it; access tokens live on, and unknown ones are none. @throws sandbox.refused */
export async function revoke(platform: Platform, form: Form, authorization: string | undefined): Promise<void> {
  const application = await authenticateClient(platform, form, basicCredentials(authorization));
  const grant = platform.state.refreshTokens.get(required(form, 'token'))?.grant;
  if (grant?.application.id === application.id) grant.killed = true;
}

function basicIdOf(header: string | undefined): string {
  try {
    return basicCredentials(header)?.id ?? '';
  } catch {
    return '(unreadable)';
  }
}

async function answer(
  platform: Platform,
  { tenant: segment, form, authorization }: TokenRequest,
): Promise<TokenResponse> {
  resolveTenant(segment);
  const grantType = required(form, 'grant_type');
  if (form.has('resource')) throw refuse(901002);
  const redeem = GRANTS.get(grantType);
  if (redeem === undefined) throw refuse(70003, { grant: grantType });
  return redeem(platform, await authenticateClient(platform, form, basicCredentials(authorization)), form, segment);
}

function required(form: Form, parameter: string): string {
  const value = form.get(parameter);
  if (value === undefined || value === '') throw refuse(900144, { parameter });
  return value;
}

function redeemCode(platform: Platform, application: RegisteredApplication, form: Form, tenant: string): TokenResponse {
  const text = required(form, 'code');
  const redirectUri = required(form, 'redirect_uri');
  const code = platform.state.codes.get(text);
  if (!code) throw refuse(9002313, {}, { error: 'invalid_grant' });
  const { request, user } = code;
  strike(platform, { step: 'code', application, user });
  if (request.application.id !== application.id) throw refuse(70000);
  if (code.expiresAt <= platform.clock.now()) throw refuse(70008);
  if (code.redeemed) throw refuse(54005);
  if (!sameTenant(request.tenant, tenant)) throw refuse(700005);
  if (!sameUri(redirectUri, request.redirectUri))
    throw refuse(500112, { uri: redirectUri, expected: request.redirectUri });
  verifyPkce(request.challenge, form.get('code_verifier'));
  const scope = form.has('scope') ? parseScope(form.get('scope')!, application) : request.scope;
  const grant: Grant = { user, application, scope: request.scope, issuedAt: platform.clock.now(), killed: false };
  const response = forPerson(platform, grant, scope, form, request.nonce);
  code.redeemed = true;
  return response;
}

function sameTenant(one: string, other: string): boolean {
  return JSON.stringify(resolveTenant(one)) === JSON.stringify(resolveTenant(other));
}

/** `http://localhost:1` and `http://localhost:1/` are one: a browser adds the slash, and clients read it back. */
function sameUri(one: string, other: string): boolean {
  return URL.canParse(one) && new URL(one).href === new URL(other).href;
}

/** RFC 7636 §4.6. A verifier without a challenge is refused as well: somebody downgraded the request. */
function verifyPkce(challenge: AuthorizationRequest['challenge'], verifier: string | undefined): void {
  if (!challenge && verifier === undefined) return;
  if (!challenge) throw refuse(501481);
  if (verifier === undefined) throw refuse(501481);
  if (!/^[\w.~-]{43,128}$/.test(verifier)) throw refuse(501491);
  const derived = challenge.method === 'plain' ? verifier : createHash('sha256').update(verifier).digest('base64url');
  if (derived !== challenge.value) throw refuse(501481);
}

function redeemRefreshToken(platform: Platform, application: RegisteredApplication, form: Form): TokenResponse {
  const token = platform.state.refreshTokens.get(required(form, 'refresh_token'));
  if (!token) throw refuse(9002313, {}, { error: 'invalid_grant' });
  const { grant } = token;
  strike(platform, { step: 'refresh', application, user: grant.user, issuedAt: token.issuedAt });
  if (grant.application.id !== application.id || grant.killed) throw refuse(70000);
  const { state } = platform;
  const passwordChanged = application.publicClient ? (state.passwordChanged.get(grant.user.objectId) ?? 0) : 0;
  const validFrom = Math.max(passwordChanged, state.validFrom.get(grant.user.objectId) ?? 0);
  if (token.issuedAt < validFrom)
    throw refuse(50173, { issued: microsoftTime(token.issuedAt), validFrom: microsoftTime(validFrom) });
  if (token.issuedAt + REFRESH_TOKEN_MS <= platform.clock.now())
    throw refuse(700082, { issued: microsoftTime(token.issuedAt) });
  if (token.spent && platform.options.rotation === 'strict') {
    grant.killed = true;
    throw refuse(70000);
  }
  const scope = form.has('scope') ? parseScope(form.get('scope')!, application) : grant.scope;
  const response = forPerson(platform, grant, scope, form);
  token.spent = true;
  loseAnswer(platform, grant.user);
  return response;
}

function redeemDeviceCode(platform: Platform, application: RegisteredApplication, form: Form): TokenResponse {
  const device = platform.state.devices.get(required(form, 'device_code'));
  if (!device || device.application.id !== application.id) throw refuse(70018);
  const { outcome } = device;
  if (outcome.type === 'redeemed') throw refuse(54005);
  if (outcome.type === 'declined') throw refuse(65004, {}, { error: 'authorization_declined' });
  if (device.expiresAt <= platform.clock.now()) throw refuse(70019);
  if (outcome.type === 'pending') throw refuse(70016);
  const { user } = outcome;
  strike(platform, { step: 'device', application, user });
  const grant: Grant = { user, application, scope: device.scope, issuedAt: platform.clock.now(), killed: false };
  const response = forPerson(platform, grant, device.scope, form);
  device.outcome = { type: 'redeemed' };
  return response;
}

function clientCredentials(
  platform: Platform,
  application: RegisteredApplication,
  form: Form,
  segment: string,
): TokenResponse {
  const tenant = resolveTenant(segment);
  strike(platform, { step: 'app-only', application });
  if (tenant.type === 'any' && tenant.name === 'common') throw refuse(9001023, { grant: 'client_credentials' });
  if (application.publicClient) throw refuse(7000218);
  const text = required(form, 'scope');
  const { oidc, resources } = parseScope(text, application);
  const [only, second] = resources;
  // The roles an administrator granted are all or nothing: only `/.default` of one resource makes sense.
  if (!only || second || oidc.length > 0 || only.names !== 'default') throw refuse(70011, { scope: text });
  const granted = only.resource === exchangeOnline ? application : { ...application, roles: application.graphRoles };
  return issueAppOnly(platform, granted, only.audience);
}

/** `password` is known to Microsoft but sends passwords through programs: refused here like any unknown grant. */
const GRANTS: ReadonlyMap<string, typeof redeemCode> = new Map([
  ['authorization_code', redeemCode],
  ['refresh_token', redeemRefreshToken],
  ['client_credentials', clientCredentials],
  ['urn:ietf:params:oauth:grant-type:device_code', redeemDeviceCode],
  ['device_code', redeemDeviceCode], // MSAL's short name for the same
]);

/** Tokens for a person: one resource per request, only what was consented to. */
function forPerson(platform: Platform, grant: Grant, scope: ScopeRequest, form: Form, nonce?: string): TokenResponse {
  const [first, second] = scope.resources;
  // An authorization request may name several resources and then gets the first; asking the token endpoint for two is refused.
  if (second && form.has('scope')) throw refuse(28002, { scope: form.get('scope')! });
  const wanted = first ?? graphProfile(platform);
  return issueDelegated(platform, grant, {
    audience: wanted.audience,
    names: consentedNames(platform, grant.user, grant.application, wanted),
    oidc: scope.oidc,
    ...(nonce === undefined ? {} : { nonce }),
    clientInfo: form.get('client_info') === '1',
  });
}

/** A request for nothing but sign-in still gets an access token: for Graph, good for no mailbox. */
function graphProfile(platform: Platform): ResourceScopes {
  return parseScope('https://graph.microsoft.com/.default', platform.applications.public).resources[0]!;
}

function consentedNames(
  platform: Platform,
  user: User,
  application: RegisteredApplication,
  { resource, names }: ResourceScopes,
): readonly string[] {
  const consented = (name: string): boolean =>
    platform.state.hasConsent(user, application, permissionKey(resource, name));
  if (names === 'default') return Object.keys(resource.scopes).filter(consented);
  if (!names.every(consented)) throw refuse(65001, { client: application.id, name: application.name });
  return names;
}

/** The body of a successful device authorization request (RFC 8628 §3.2) with Microsoft's `message`. @throws sandbox.refused */
export function deviceAuthorization(platform: Platform, segment: string, form: Form) {
  resolveTenant(segment);
  const application = findApplication(platform, form.get('client_id'));
  const scope = parseScope(required(form, 'scope'), application);
  const { deviceCode, userCode } = platform.state.issueDeviceCode(application, scope);
  const page = `${platform.origin}/common/oauth2/deviceauth`;
  return {
    user_code: userCode,
    device_code: deviceCode,
    verification_uri: page,
    expires_in: DEVICE_CODE_MS / 1000,
    interval: platform.options.deviceInterval,
    message: `To sign in, use a web browser to open the page ${page} and enter the code ${userCode} to authenticate.`,
  };
}
