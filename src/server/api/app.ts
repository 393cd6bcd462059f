/** The HTTP API, assembled: who may come in, which operation answers, and how failures look. No port is opened here. */
import { OpenAPIHono } from '@hono/zod-openapi';
import { HTTPException } from 'hono/http-exception';
import { readText } from './body.ts';
import { apiError, badRequest, ofAct } from './errors.ts';
import { asError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { newId } from '../../store/id.ts';
import { actRoutes } from './acts.ts';
import { documentOf } from './document.ts';
import { events } from './events.ts';
import { KeyHold } from './key-hold.ts';
import { mailboxes } from './mailboxes.ts';
import { MAX_JSON } from './message-schema.ts';
import { messages } from './messages.ts';
import { messageChanges } from './message-changes.ts';
import { Operations } from './operations.ts';
import { explanationOf, problemOf, statusOf } from './problem.ts';
import { type ApiApp, allowed, type ApiContext, type ApiDeps, type ApiEnv, type Peer } from './request.ts';
import { Rooms } from './room.ts';
import { suppressions } from './suppressions.ts';
import { templates } from './templates.ts';
import { uploads } from './uploads.ts';
import { webhooks } from './webhooks.ts';

export interface Api {
  /** @param octets the body; that of `request` is not read @param onClose calls back when the request is over */
  fetch(
    request: Request,
    peer: Peer,
    octets: AsyncIterable<Uint8Array>,
    onClose: ApiEnv['Bindings']['onClose'],
  ): Promise<Response>;
  /** OpenAPI 3.1. */
  document(): object;
}

export function createApi(deps: ApiDeps): Api {
  const app: ApiApp = new OpenAPIHono<ApiEnv>({
    defaultHook: (result) => {
      if (!result.success) throw badRequest(result.error.issues);
    },
  });
  app.use(async (c, next) => {
    const started = performance.now();
    c.set('requestId', newId('req'));
    await next();
    const status = c.res.status;
    secure(c.res.headers);
    c.res.headers.set('request-id', c.get('requestId'));
    const key = c.get('key') as { readonly id: string } | undefined;
    deps.meter?.request(c.req.method, status, (performance.now() - started) / 1000);
    deps.log.debug(
      {
        requestId: c.get('requestId'),
        method: c.req.method,
        path: c.req.path,
        status,
        apiKeyId: key?.id,
        ms: Math.round(performance.now() - started),
      },
      'API request',
    );
  });
  app.openAPIRegistry.registerComponent('securitySchemes', 'key', {
    type: 'http',
    scheme: 'bearer',
    description: 'An API key: postern apikey add',
  });
  // Asked for without a key: made once, and held once however many read it at the same time.
  let document: Uint8Array<ArrayBuffer> | undefined;
  app.get('/openapi.json', (c) => {
    document ??= new TextEncoder().encode(JSON.stringify(documentOf(app, deps.version)));
    return c.body(document, 200, { 'content-type': 'application/json' });
  });
  app.get('/errors/:code', (c) => {
    const text = explanationOf(c.req.param('code'));
    if (text === undefined) throw apiError('api.not-found', 'there is no such code');
    return c.text(text);
  });
  const operations = new Operations(app);
  const rooms = new Rooms(deps.budget, deps.clock);
  app.use('/v1/*', async (c, next) => {
    await signIn(c, deps);
    // Before anything of its body is read: a key that may do nothing here is to cost nothing.
    const operation = operations.of(c);
    if (operation === undefined) return c.notFound();
    const key = allowed(c, operation.action);
    operations.checkQuery(c, operation);
    const isStreamed = checkBody(c);
    if (c.req.method === 'GET' || c.req.method === 'HEAD') return next();
    const hold = new KeyHold(deps.signIn, key, operation.action);
    const room = rooms.open(key.id);
    try {
      c.set('hold', hold);
      if (isStreamed) return await next();
      const announced = Number(c.req.header('content-length') ?? Number.NaN);
      const text = await readText(hold.octets(c.env.octets), {
        most: MAX_JSON,
        room,
        announced: Number.isNaN(announced) ? undefined : announced,
      });
      // Where the library looks for it; its types call it text.
      Object.assign(c.req.bodyCache, { text: Promise.resolve(text) });
      c.set('room', room);
      // The body may have taken minutes: what follows is judged by the key as it is now.
      c.set('key', await hold.confirm());
      await next();
    } finally {
      hold.release();
      room.close();
    }
  });
  const routes = actRoutes(app, deps);
  messages(app, deps);
  messageChanges(app, deps, routes);
  uploads(app, deps);
  events(app, deps);
  mailboxes(routes);
  templates(routes);
  suppressions(routes);
  webhooks(routes, app);
  app.notFound((c) => {
    const what = `${c.req.method} ${c.req.path.slice(0, 200)}`;
    const allow = operations.methods(c.req.path);
    if (allow === undefined) return fail(c, deps, apiError('api.not-found', `there is no ${what}`));
    const response = fail(c, deps, apiError('api.method', `there is no ${what}`, { hint: `it takes ${allow}` }));
    response.headers.set('allow', allow);
    return response;
  });
  app.onError((error, c) => fail(c, deps, ourError(error)));
  return {
    async fetch(request, peer, octets, onClose) {
      return app.fetch(request, { peer, octets, onClose });
    },
    document: () => documentOf(app, deps.version),
  };
}

/** OpenAPI 3.1 without a server. */
export function apiDocument(version: string): object {
  // Nothing is asked of it but what its operations look like, so it needs nothing to answer with.
  return createApi({ version } as Pick<ApiDeps, 'version'> as ApiDeps).document();
}

/** @throws api.insecure, api.key, api.rate */
async function signIn(c: ApiContext, deps: ApiDeps): Promise<void> {
  const { peer } = c.env;
  const [scheme = '', token = ''] = (c.req.header('authorization') ?? '').split(/ +/, 2);
  if (!peer.isPrivate) {
    // The key has travelled in plain text already: whoever runs this must hear of it.
    deps.log.warn({ requestId: c.get('requestId'), remoteAddress: peer.address }, 'an API request came without TLS');
    throw apiError('api.insecure', 'the API is not served in plain text beyond this machine');
  }
  if (scheme.toLowerCase() !== 'bearer' || token === '')
    throw apiError('api.key', 'the request has no API key', { detail: { scheme: 'Bearer' } });
  const result = await deps.signIn.verify(Secret.offered(token), peer.address);
  if (result.type === 'accepted') {
    c.set('key', result.key);
    return;
  }
  if (result.type === 'over-rate') {
    c.set('key', result.key);
    throw apiError('api.rate', `the key ${result.key.id} allows ${result.key.rate ?? 0} requests a minute`, {
      retryAt: new Date(deps.clock.now() + result.waitMs),
    });
  }
  if (result.type === 'slow-down')
    throw apiError('api.rate', 'too many wrong keys came from this address', {
      retryAt: new Date(deps.clock.now() + result.waitMs),
    });
  // Why is for the log and the audit: whoever found a key is not to learn whether it was one.
  c.set('refusal', result.reason);
  deps.log.warn(
    { requestId: c.get('requestId'), remoteAddress: peer.address, reason: result.reason },
    'an API key was refused',
  );
  throw apiError('api.key', 'the API key is not valid');
}

/** Whether the body is passed on as it arrives; others are JSON. @throws api.media-type */
function checkBody(c: ApiContext): boolean {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (
    c.req.method === 'POST' &&
    (c.req.path === '/v1/uploads' || (type === 'message/rfc822' && c.req.path === '/v1/messages'))
  )
    return true;
  // Some clients name a type for no body at all, axios `application/x-www-form-urlencoded`.
  const isEmpty = Number(c.req.header('content-length') ?? 0) === 0 && c.req.header('transfer-encoding') === undefined;
  if (type !== undefined && type !== 'application/json' && !isEmpty)
    throw apiError('api.media-type', `${type.slice(0, 100)} is not taken here`);
  return false;
}

function fail(c: ApiContext, deps: ApiDeps, thrown: unknown): Response {
  const error = ofAct(asError(thrown));
  const requestId = c.get('requestId');
  const facts = { requestId, code: error.code, method: c.req.method, path: c.req.path };
  if (error.kind === 'bug') deps.log.error({ ...facts, error }, 'an API request failed');
  const status = statusOf(error);
  if (status === 401 || status === 403 || status === 429) {
    const key = c.get('key') as { readonly id: string } | undefined;
    const { address } = c.env.peer;
    deps.audit.note({
      type: 'api.refused',
      outcome: 'failed',
      sessionId: requestId,
      data: {
        code: error.code,
        ...error.detail,
        ...(c.get('refusal') === undefined ? {} : { reason: c.get('refusal') }),
        apiKeyId: key?.id ?? null,
        remoteAddress: address,
        path: c.req.path.slice(0, MAX_PATH),
      },
    });
  }
  return problemOf(error, requestId, deps.clock.now());
}

function ourError(error: unknown): unknown {
  if (error instanceof HTTPException) {
    return error.status < 500 ? apiError('api.request', 'the body is no valid JSON', { cause: error }) : error;
  }
  return error;
}

/** Characters of a path that are written down: all that exist are shorter. */
const MAX_PATH = 200;

/** What is answered is data for programs: no browser is to keep it, guess its type or show it inside something else. */
function secure(headers: Headers): void {
  if (!headers.has('cache-control')) headers.set('cache-control', 'no-store');
  headers.set('x-content-type-options', 'nosniff');
  headers.set('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
  headers.set('referrer-policy', 'no-referrer');
  headers.set('cross-origin-resource-policy', 'same-origin');
  headers.set('x-frame-options', 'DENY');
}
