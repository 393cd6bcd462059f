/** `/{tenant}/oauth2/v2.0/authorize`: reads the request and decides what it still needs (RFC 6749 §4.1, OpenID Connect Core §3.1.2). */
import { errorBody, refusalOf, refuse } from './aadsts.ts';
import { oidcScopes, redirectMatches, type RegisteredApplication, type User } from './directory.ts';
import { findApplication, resolveTenant, type Platform } from './platform.ts';
import { parseScope, permissionKey, permissionNames, type ScopeRequest } from './scope.ts';
import type { AuthorizationRequest } from './state.ts';
import { strike } from './strike.ts';

type Parameters = ReadonlyMap<string, string>;

/** Where an answer goes: known as soon as client and redirect URI have been checked. */
export interface Return {
  readonly redirectUri: string;
  readonly responseMode: AuthorizationRequest['responseMode'];
  readonly state: string | undefined;
}

/** Checks client and redirect URI. What fails here is shown to the person, never sent anywhere. @throws sandbox.refused */
export function readReturn(
  platform: Platform,
  tenant: string,
  parameters: Parameters,
): Return & { application: RegisteredApplication } {
  resolveTenant(tenant);
  const application = findApplication(platform, parameters.get('client_id'));
  const redirectUri = parameters.get('redirect_uri');
  if (redirectUri === undefined || redirectUri === '') throw refuse(900144, { parameter: 'redirect_uri' });
  const known = [...application.redirectUris, `${platform.origin}/common/oauth2/nativeclient`];
  if (!redirectMatches(known, redirectUri)) throw refuse(50011, { uri: redirectUri, client: application.id });
  const mode = parameters.get('response_mode') ?? 'query';
  if (mode !== 'query' && mode !== 'fragment' && mode !== 'form_post') throw refuse(70007, { mode });
  return { application, redirectUri, responseMode: mode, state: parameters.get('state') };
}

/** The rest of the request. What fails here goes back to the redirect URI. @throws sandbox.refused */
export function readRequest(
  tenant: string,
  target: Return & { application: RegisteredApplication },
  parameters: Parameters,
): AuthorizationRequest {
  const type = parameters.get('response_type');
  if (type === undefined) throw refuse(900144, { parameter: 'response_type' });
  const words = type.split(' ');
  if (words.includes('token')) throw refuse(700051);
  if (words.includes('id_token')) throw refuse(700054);
  if (type !== 'code') throw refuse(70005, { type });
  if (parameters.has('resource')) throw refuse(901002);
  const scope = parameters.get('scope');
  if (scope === undefined || scope === '') throw refuse(900144, { parameter: 'scope' });
  return {
    ...target,
    tenant,
    nonce: parameters.get('nonce'),
    scope: parseScope(scope, target.application),
    prompt: (parameters.get('prompt') ?? '').split(' ').filter((word) => word !== ''),
    loginHint: parameters.get('login_hint'),
    challenge: readChallenge(parameters),
  };
}

/** RFC 7636 §4.3; Microsoft accepts `plain` as well. */
function readChallenge(parameters: Parameters): AuthorizationRequest['challenge'] {
  const value = parameters.get('code_challenge');
  if (value === undefined) return undefined;
  const method = parameters.get('code_challenge_method') ?? 'plain';
  if (method !== 'S256' && method !== 'plain')
    throw refuse(90023, { reason: `code_challenge_method ${method} is not supported` });
  if (!/^[\w.~-]{43,128}$/.test(value)) throw refuse(50147);
  return { method, value };
}

/** What a person is asked for on the consent page. */
export function permissionsAsked(scope: ScopeRequest): readonly { name: string; words: string; key: string }[] {
  const oidc = scope.oidc.map((name) => ({ name, words: oidcScopes[name]!, key: name }));
  const others = scope.resources.flatMap((entry) =>
    permissionNames(entry).map((name) => ({
      name: `${entry.resource.name}: ${name}`,
      words: entry.resource.scopes[name]!,
      key: permissionKey(entry.resource, name),
    })),
  );
  // The two Outlook hosts name one resource: ask once.
  return [...new Map([...others, ...oidc].map((permission) => [permission.key, permission])).values()];
}

export function needsConsent(
  platform: Platform,
  user: User,
  application: RegisteredApplication,
  scope: ScopeRequest,
): boolean {
  return permissionsAsked(scope).some(({ key }) => !platform.state.hasConsent(user, application, key));
}

/** Remembers the consent and gives the parameters of a successful answer. @throws sandbox.refused (a fault) */
export function grantCode(platform: Platform, request: AuthorizationRequest, user: User): URLSearchParams {
  strike(platform, { step: 'sign-in', user, application: request.application });
  const keys = permissionsAsked(request.scope).map(({ key }) => key);
  platform.state.consent(user, request.application, keys);
  const parameters = new URLSearchParams({ code: platform.state.issueCode(request, user) });
  if (request.state !== undefined) parameters.set('state', request.state);
  parameters.set('session_state', '005a4db0-c000-4000-8000-00000000c0de');
  return parameters;
}

/** Parameters of a failed answer (RFC 6749 §4.1.2.1). Anything that is no refusal is thrown on. */
export function failedAnswer(platform: Platform, state: string | undefined, error: unknown): URLSearchParams {
  const refusal = refusalOf(error);
  if (!refusal) throw error;
  const body = errorBody(refusal, (error as Error).message, { now: platform.clock.now(), origin: platform.origin });
  const parameters = new URLSearchParams({ error: body.error });
  if (refusal.aadsts === 65004) parameters.set('error_subcode', 'cancel');
  parameters.set('error_description', body.error_description);
  parameters.set('error_uri', body.error_uri);
  if (state !== undefined) parameters.set('state', state);
  return parameters;
}

/** The redirect URI with the answer in its query or fragment. Existing query parameters stay (RFC 6749 §3.1.2). */
export function redirectTo(target: Return, parameters: URLSearchParams): URL {
  const url = new URL(target.redirectUri);
  if (target.responseMode === 'fragment') url.hash = parameters.toString();
  else for (const [name, value] of parameters) url.searchParams.append(name, value);
  return url;
}
