/** The authority's routes: paths, headers and bodies around the endpoints. */
import type { HttpBindings } from '../http-door.ts';
import { Hono, type Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { HTTPException } from 'hono/http-exception';
import { getCookie, setCookie } from 'hono/cookie';
import { isError } from '../../base/error.ts';
import { aadsts, errorBody, refusalOf, type RefusalDetail } from './aadsts.ts';
import { nextFailure, orderedAnswer } from './faults.ts';
import { adminConsent, authorize, decide, enterUserCode, signIn, type Shortcut } from './flows.ts';
import { redirectMatches } from './directory.ts';
import { discovery, instanceDiscovery, keySet } from './metadata.ts';
import { deviceCodePage, failurePage, messagePage } from './pages.ts';
import { resolveTenant, singleParameters, type Platform } from './platform.ts';
import type { FaultAnswer } from './strike.ts';
import { deviceAuthorization, revoke, token } from './token-endpoint.ts';

const SESSION_COOKIE = 'SANDBOXAUTH';
/** Real requests are a few kilobytes; a client assertion is the longest part. */
const MAX_BODY_OCTETS = 65_536;

/** Answers fetch-style requests; the listener puts it behind HTTPS, tests call it with no port. */
export function createEndpoints(platform: Platform): Hono {
  const app = new Hono();
  app.use(bodyLimit({ maxSize: MAX_BODY_OCTETS }));

  app.get('/:tenant/v2.0/.well-known/openid-configuration', (c) => c.json(discovery(platform, c.req.param('tenant'))));
  app.get('/:tenant/discovery/v2.0/keys', (c) => {
    const tenant = resolveTenant(c.req.param('tenant'));
    return c.json(keySet(platform, tenant));
  });
  app.get('/common/discovery/instance', (c) => c.json(instanceDiscovery(platform)));

  app.post('/:tenant/oauth2/v2.0/token', async (c) => {
    const failure = nextFailure(platform);
    const request = {
      tenant: c.req.param('tenant'),
      form: await readForm(c),
      authorization: c.req.header('authorization'),
    };
    if (failure) return orderedAnswer(platform, request.form, failure);
    return noStore(c.json(await token(platform, request)));
  });
  app.post('/:tenant/oauth2/v2.0/devicecode', async (c) =>
    noStore(c.json(deviceAuthorization(platform, c.req.param('tenant'), await readForm(c)))),
  );

  app.post('/:tenant/oauth2/v2.0/revoke', async (c, next) => {
    if (platform.options.revocation !== true) return next();
    await revoke(platform, await readForm(c), c.req.header('authorization'));
    return noStore(c.body(null, 200));
  });

  app.get('/:tenant/oauth2/v2.0/authorize', (c) => startAuthorize(platform, c, new URL(c.req.url).searchParams));
  app.post('/:tenant/oauth2/v2.0/authorize', async (c) =>
    startAuthorize(platform, c, new URLSearchParams(await c.req.text())),
  );
  for (const path of ['/:tenant/adminconsent', '/:tenant/v2.0/adminconsent'] as const)
    app.get(path, (c) => adminConsent(platform, c.req.param('tenant'), queryOf(c)));
  app.get('/:tenant/oauth2/deviceauth', (c) => {
    resolveTenant(c.req.param('tenant'));
    return deviceCodePage();
  });
  app.get('/devicelogin', (c) => c.redirect('/common/oauth2/deviceauth'));
  app.post('/:tenant/oauth2/deviceauth', async (c) => enterUserCode(platform, (await readForm(c)).get('otc') ?? ''));
  app.post('/sandbox/sign-in', async (c) => {
    const form = await readForm(c);
    const { response, user } = signIn(platform, form.get('flow') ?? '', form.get('user') ?? '');
    if (!user) return response;
    setCookie(c, SESSION_COOKIE, platform.state.openSession(user), {
      httpOnly: true,
      secure: true,
      sameSite: 'Lax',
      path: '/',
    });
    const headers = new Headers(response.headers);
    for (const cookie of c.res.headers.getSetCookie()) headers.append('set-cookie', cookie);
    return new Response(response.body, { status: response.status, headers });
  });
  app.post('/sandbox/consent', async (c) => {
    const form = await readForm(c);
    return decide(platform, form.get('flow') ?? '', form.get('decision') === 'accept');
  });
  app.get('/:tenant/oauth2/v2.0/logout', (c) => logout(platform, c));
  app.get('/common/oauth2/nativeclient', () =>
    messagePage('Almost done', 'Copy the address of this page from the address bar and give it to your program.'),
  );

  // Where `error_uri` leads.
  app.get('/error', (c) => {
    const code = c.req.query('code') ?? '';
    const row = Object.entries(aadsts).find(([number]) => number === code)?.[1];
    return messagePage(`AADSTS${code}`, row?.text ?? 'The sandbox does not use this code.');
  });

  app.notFound((c) => c.text('the sandbox has no such page', 404));
  app.onError((error, c) => {
    // Such as a body beyond the limit.
    if (error instanceof HTTPException) return error.getResponse();
    if (isError(error, 'sandbox.fault'))
      return faultAnswer(c, error.detail as Readonly<Record<string, unknown>> & FaultAnswer);
    const refusal = refusalOf(error);
    if (!refusal) {
      platform.log.error(
        { error: error.message, stack: error.stack, path: c.req.path },
        'the sandbox authority failed',
      );
      return c.json({ error: 'server_error', error_description: 'the sandbox failed; its log says why' }, 500);
    }
    return refused(platform, c, refusal, error.message);
  });
  return app;
}

/** What a fault answers; a lost answer takes the connection with it. */
function faultAnswer(c: Context, answer: FaultAnswer): Response {
  if (answer.type === 'answer') return new Response(answer.body, { status: answer.status, headers: answer.headers });
  (c.env as Partial<HttpBindings> | undefined)?.incoming?.socket.destroy();
  return new Response(null, { status: 502 });
}

/** JSON for programs, a page for people. */
function refused(platform: Platform, c: Context, refusal: RefusalDetail, message: string): Response {
  const correlationId = c.req.header('client-request-id');
  const body = errorBody(refusal, message, { now: platform.clock.now(), origin: platform.origin, correlationId });
  const forPeople = /\/(?:authorize|adminconsent|deviceauth|logout)$|^\/sandbox\//.test(c.req.path);
  if (forPeople) return failurePage(body, 400);
  return noStore(Response.json(body, { status: refusal.status, headers: { 'x-ms-request-id': body.trace_id } }));
}

function startAuthorize(platform: Platform, c: Context, source: URLSearchParams): Response {
  const parameters = singleParameters(source);
  const session = platform.state.live(platform.state.sessions, getCookie(c, SESSION_COOKIE));
  return authorize(platform, c.req.param('tenant')!, parameters, session?.user, shortcutOf(c, parameters));
}

/** `sandbox_user` (or the header `x-sandbox-user`) signs in and consents at once; `sandbox_decision=cancel` declines. */
function shortcutOf(c: Context, parameters: ReadonlyMap<string, string>): Shortcut | undefined {
  const user = parameters.get('sandbox_user') ?? c.req.header('x-sandbox-user');
  if (user === undefined) return undefined;
  return { user, decision: parameters.get('sandbox_decision') === 'cancel' ? 'cancel' : 'accept' };
}

function logout(platform: Platform, c: Context): Response | Promise<Response> {
  resolveTenant(c.req.param('tenant')!);
  const session = getCookie(c, SESSION_COOKIE);
  if (session !== undefined) platform.state.sessions.delete(session);
  const target = queryOf(c).get('post_logout_redirect_uri');
  const registered = Object.values(platform.applications).flatMap((application) => application.redirectUris);
  if (target !== undefined && redirectMatches(registered, target)) return c.redirect(target);
  return messagePage('Signed out', 'You are signed out of the sandbox.');
}

async function readForm(c: Context): Promise<ReadonlyMap<string, string>> {
  const type = c.req.header('content-type') ?? '';
  return singleParameters(
    new URLSearchParams(type.startsWith('application/x-www-form-urlencoded') ? await c.req.text() : ''),
  );
}

function queryOf(c: Context): ReadonlyMap<string, string> {
  return singleParameters(new URL(c.req.url).searchParams);
}

function noStore(response: Response): Response {
  response.headers.set('cache-control', 'no-store, no-cache');
  response.headers.set('pragma', 'no-cache');
  return response;
}
