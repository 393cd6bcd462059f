/** What a person goes through: who, what, yes or no; the same steps for a code, a device and an administrator's consent. */
import { refuse } from './aadsts.ts';
import {
  failedAnswer,
  grantCode,
  needsConsent,
  permissionsAsked,
  readRequest,
  readReturn,
  redirectTo,
  type Return,
} from './authorize.ts';
import {
  exchangeOnline,
  findUser,
  graph,
  TENANT_DOMAIN,
  TENANT_ID,
  users,
  type RegisteredApplication,
  type User,
} from './directory.ts';
import { accountPage, consentPage, deviceCodePage, formPostPage, formTargetOf, messagePage } from './pages.ts';
import type { Platform } from './platform.ts';
import { permissionKey } from './scope.ts';
import { strike } from './strike.ts';
import type { DeviceRequest, Flow } from './state.ts';

/** Somebody who needs no page: named by the request itself or by {@link Sandbox.approve}. */
export interface Shortcut {
  readonly user: string;
  readonly decision: 'accept' | 'cancel';
}

type Parameters = ReadonlyMap<string, string>;

/**
 * The whole authorize endpoint.
 * @param session the user of the browser session, if any
 * @throws sandbox.refused where the person must see it because the redirect URI is not known to be good
 */
export function authorize(
  platform: Platform,
  tenant: string,
  parameters: Parameters,
  session: User | undefined,
  shortcut: Shortcut | undefined,
): Response {
  const target = readReturn(platform, tenant, parameters);
  try {
    const request = readRequest(tenant, target, parameters);
    if (shortcut) {
      const user = requireUser(shortcut.user);
      if (shortcut.decision === 'cancel') throw refuse(65004);
      return answer(target, grantCode(platform, request, user));
    }
    const again = request.prompt.includes('login') || request.prompt.includes('select_account');
    const hinted = session && request.loginHint !== undefined && findUser(request.loginHint) !== session;
    const user = again || hinted ? undefined : session;
    if (request.prompt.includes('none')) {
      if (!user) throw refuse(50058);
      if (needsConsent(platform, user, request.application, request.scope))
        throw refuse(
          65001,
          { client: request.application.id, name: request.application.name },
          { error: 'interaction_required' },
        );
      return answer(target, grantCode(platform, request, user));
    }
    return show(platform, platform.state.openFlow({ purpose: 'code', request, user }));
  } catch (error) {
    return answer(target, failedAnswer(platform, target.state, error));
  }
}

/** `/{tenant}/adminconsent`: an administrator agrees for everybody. @throws sandbox.refused */
export function adminConsent(platform: Platform, tenant: string, parameters: Parameters): Response {
  const { application, redirectUri, state } = readReturn(platform, tenant, parameters);
  return show(
    platform,
    platform.state.openFlow({ purpose: 'admin', application, redirectUri, state, user: undefined }),
  );
}

/** The page where a user code was typed. */
export function enterUserCode(platform: Platform, userCode: string): Response {
  const device = findDevice(platform, userCode);
  if (!device) return deviceCodePage('That code didn’t work. Check the code and try again.');
  return show(platform, platform.state.openFlow({ purpose: 'device', device, user: undefined }));
}

/** A pending device request by the code the person sees; case, spaces and dashes do not count. */
export function findDevice(platform: Platform, userCode: string): DeviceRequest | undefined {
  const wanted = userCode.toUpperCase().replace(/[\s-]/g, '');
  const device = [...platform.state.devices.values()].find((candidate) => candidate.userCode === wanted);
  const open = device && device.expiresAt > platform.clock.now() && device.outcome.type === 'pending';
  return open ? device : undefined;
}

export function decideDevice(platform: Platform, device: DeviceRequest, user: User, accepted: boolean): void {
  if (accepted) {
    strike(platform, { step: 'sign-in', user, application: device.application });
    const keys = permissionsAsked(device.scope).map(({ key }) => key);
    platform.state.consent(user, device.application, keys);
  }
  device.outcome = accepted ? { type: 'approved', user } : { type: 'declined' };
}

/** @returns the next page, and the user who signed in when the choice was good */
export function signIn(platform: Platform, flowId: string, address: string): { response: Response; user?: User } {
  const flow = platform.state.live(platform.state.flows, flowId);
  if (!flow) return { response: lost() };
  const user = findUser(address);
  if (!user) {
    const problem = `AADSTS50034: The user account ${address} does not exist in the ${TENANT_DOMAIN} directory.`;
    return { response: chooseAccount(flowId, flow, problem) };
  }
  flow.user = user;
  return { user, response: show(platform, flowId) };
}

export function decide(platform: Platform, flowId: string, accepted: boolean): Response {
  const flow = platform.state.live(platform.state.flows, flowId);
  if (!flow?.user) return lost();
  platform.state.flows.delete(flowId);
  return finish(platform, flow, flow.user, accepted);
}

/** The next page of a flow, or its end when nothing is left to ask. */
function show(platform: Platform, flowId: string): Response {
  const flow = platform.state.flows.get(flowId)!;
  if (!flow.user) return chooseAccount(flowId, flow);
  const application = applicationOf(flow);
  const askAgain = flow.purpose !== 'code' || flow.request.prompt.includes('consent');
  const scope = flow.purpose === 'admin' ? undefined : flow.purpose === 'code' ? flow.request.scope : flow.device.scope;
  if (scope && !askAgain && !needsConsent(platform, flow.user, application, scope))
    return decide(platform, flowId, true);
  return consentPage({
    flow: flowId,
    application,
    user: flow.user,
    permissions: scope ? permissionsAsked(scope) : registeredPermissions(application),
    admin: flow.purpose === 'admin',
    ...target(flow),
  });
}

function chooseAccount(flowId: string, flow: Flow, problem?: string): Response {
  const hint = flow.purpose === 'code' ? flow.request.loginHint : undefined;
  const hinted = hint === undefined ? undefined : findUser(hint);
  return accountPage({
    flow: flowId,
    application: applicationOf(flow),
    users: hinted ? [hinted, ...users.filter((user) => user !== hinted)] : users,
    hint: hinted ? undefined : hint,
    ...(problem === undefined ? {} : { problem }),
    ...target(flow),
  });
}

function finish(platform: Platform, flow: Flow, user: User, accepted: boolean): Response {
  if (flow.purpose === 'device') {
    decideDevice(platform, flow.device, user, accepted);
    return accepted
      ? messagePage('You’re signed in', 'You can close this window and go back to your program or device.')
      : messagePage('Cancelled', 'Nothing was allowed. You can close this window.');
  }
  if (flow.purpose === 'code') {
    const { request } = flow;
    try {
      if (!accepted) throw refuse(65004);
      return answer(request, grantCode(platform, request, user));
    } catch (error) {
      return answer(request, failedAnswer(platform, request.state, error));
    }
  }
  const { application, redirectUri, state } = flow;
  const back = { redirectUri, responseMode: 'query', state } as const;
  if (!accepted) return answer(back, failedAnswer(platform, state, refuse(65004)));
  const keys = registeredPermissions(application).map(({ key }) => key);
  platform.state.consent(undefined, application, keys);
  const parameters = new URLSearchParams({ admin_consent: 'True', tenant: TENANT_ID });
  if (state !== undefined) parameters.set('state', state);
  return answer(back, parameters);
}

/** Everything an administrator agrees to at once. */
function registeredPermissions(
  application: RegisteredApplication,
): readonly { name: string; words: string; key: string }[] {
  const delegated = [exchangeOnline, graph].flatMap((resource) =>
    Object.entries(resource.scopes).map(([name, words]) => ({
      name: `${resource.name}: ${name}`,
      words,
      key: permissionKey(resource, name),
    })),
  );
  const roles = application.roles.map((name) => ({
    name: `${exchangeOnline.name}: ${name}`,
    words: 'Without anybody signed in',
    key: `role ${name}`,
  }));
  const oidc = ['openid', 'profile', 'email', 'offline_access'].map((name) => ({
    name,
    words: 'Sign people in',
    key: name,
  }));
  return [...delegated, ...roles, ...oidc];
}

function answer(back: Return, parameters: URLSearchParams): Response {
  if (back.responseMode === 'form_post') return formPostPage(back.redirectUri, parameters);
  const location = redirectTo(back, parameters).href;
  return new Response(null, {
    status: 302,
    headers: { location, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' },
  });
}

/** @throws sandbox.refused 50034 */
export function requireUser(address: string): User {
  const user = findUser(address);
  if (!user) throw refuse(50034, { user: address, tenant: TENANT_DOMAIN });
  return user;
}

function applicationOf(flow: Flow): RegisteredApplication {
  if (flow.purpose === 'admin') return flow.application;
  return flow.purpose === 'code' ? flow.request.application : flow.device.application;
}

function target(flow: Flow): { formTarget?: string } {
  if (flow.purpose === 'device') return {};
  return { formTarget: formTargetOf(flow.purpose === 'code' ? flow.request.redirectUri : flow.redirectUri) };
}

function lost(): Response {
  return messagePage('Start again', 'This sign-in is no longer open. Go back to your program and start again.');
}
