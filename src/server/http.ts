/** The console port: the HTTP API, pages, `/metrics`, `/healthz`, `/readyz`. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '../base/clock.ts';
import { asError, type PosternError } from '../base/error.ts';
import { listenFailure, type Listening } from '../base/listen-failure.ts';
import type { Log } from '../base/log.ts';
import { INSTALLATION_HEADER } from '../check/answerer.ts';
import type { ApiListener } from './api/listener.ts';
import type { CertificateInUse } from './certificate-in-use.ts';
import { keysOf } from '../protocol/tls/server.ts';
import type { Budget } from '../protocol/wire/budget.ts';
import { serveInOrder } from '../protocol/wire/in-order.ts';
import { serverError } from './errors.ts';
import { type HttpLimits, HttpPlaces } from './http-places.ts';
import { createServer } from './plain-http.ts';

export interface ConsoleOptions {
  readonly host: string;
  readonly port: number;
  /** What else this process listens on: a port that one of these has is nobody else’s. */
  readonly beside?: readonly Listening[];
  /** With it TLS is spoken. */
  readonly tls?: CertificateInUse | undefined;
  readonly api?: ApiListener;
  readonly limits?: HttpLimits | undefined;
  /** Where answers count that nobody reads. */
  readonly budget?: Pick<Budget, 'account'>;
  readonly clock?: Clock;
  readonly log?: Log;
  /** What says of the answers about health whose they are. */
  readonly installation?: string;
  /** Prometheus text format 0.0.4. */
  metrics(): Promise<string>;
  /** While true the API takes nothing. */
  starting?(): boolean;
  /** What stands against serving, in plain words; empty when ready. */
  ready(): Promise<readonly string[]>;
  /** What does not stand against it yet, but should be known. */
  warnings?(): readonly string[];
  /** Pages for people; undefined for what is none. Requests come without their body. */
  pages?(request: Request): Promise<Response | undefined>;
}

export interface Console {
  readonly port: number;
  close(): Promise<void>;
}

/** A request may bring 150 MB, by a slow line; its header has to come at once. */
const REQUEST_MS = 15 * 60_000;
const HEADERS_MS = 5000;
/** A request without Host is answered here, in its turn (RFC 9112 §3.2). */
const HTTP = { requireHostHeader: false } as const;
/** What is under way at an orderly stop may end. */
const STOP_MS = 3000;

function cannotListen(cause: unknown, { host, port, beside }: ConsoleOptions): PosternError {
  const { taken, why, hint } = listenFailure(cause, { host, port, what: 'the console' }, beside);
  const more = { detail: { host, port }, cause, ...(hint === undefined ? {} : { hint }) };
  if (!taken) return serverError('server.config', `the console cannot listen on ${host} port ${port}: ${why}`, more);
  return serverError('server.port-taken', `the console port ${port} is taken: ${why}`, {
    ...more,
    hint: `set console.port in postern.yaml to another one (0 picks a free port), or stop what holds it: ss -ltnp 'sport = :${port}'`,
  });
}

/** @throws server.port-taken, server.config */
export async function startConsole(options: ConsoleOptions): Promise<Console> {
  const { tls } = options;
  const metrics = madeTogether(async () => Buffer.from(await options.metrics()));
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    if (!places.begin(request, response) && !isHealth(request)) {
      response.setHeader('connection', 'close').setHeader('retry-after', '5');
      return problem(response, 503, 'too many connections to this port; try again later');
    }
    answer(request, { ...options, metrics }, response)
      .catch((error: unknown) => {
        options.log?.error({ error: asError(error) }, 'a request to the console port failed');
        if (response.headersSent) response.destroy();
        else problem(response, 500, 'Postern could not answer this request; its log says why');
      })
      // Every answer of the API’s operations is made for one request; what else is large is shared.
      .finally(() => places.answered(request, response, targetOf(request)?.pathname.startsWith('/v1/') !== true));
  };
  const secure = (certificate: CertificateInUse) => ({
    ...keysOf(certificate.current),
    minVersion: 'TLSv1.2' as const,
  });
  let watch: { stop(): void } | undefined;
  let server: Server;
  if (tls) {
    const encrypted = createTlsServer({ ...secure(tls), ...HTTP });
    watch = tls.onChange(() => encrypted.setSecureContext(secure(tls)));
    server = encrypted;
  } else server = createServer(HTTP);
  serveInOrder(server, serve);
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = HEADERS_MS;
  const places = new HttpPlaces(server, options);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(cannotListen(cause, options)));
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        watch?.stop();
        places.close();
        const timer = systemClock.after(STOP_MS, () => server.closeAllConnections());
        server.close(() => {
          timer.cancel();
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

function isHealth({ method, url }: IncomingMessage): boolean {
  return (method === 'GET' || method === 'HEAD') && (url === '/healthz' || url === '/readyz');
}

/** Makes something for all who ask meanwhile: who asks while one is made gets the next, which is never older than the question. */
function madeTogether<T>(make: () => Promise<T>): () => Promise<T> {
  let current: Promise<T> | undefined;
  let next: Promise<T> | undefined;
  const begin = (): Promise<T> => {
    const made = make().finally(() => (current = undefined));
    current = made;
    return made;
  };
  const later = async (before: Promise<T>): Promise<T> => {
    await before.catch(() => undefined);
    // Others have their turn in between, however many ask.
    await new Promise((resolve) => setImmediate(resolve));
    next = undefined;
    return begin();
  };
  return () => (next ??= current === undefined ? undefined : later(current)) ?? begin();
}

interface Answering extends Omit<ConsoleOptions, 'metrics'> {
  metrics(): Promise<Buffer>;
}

async function answer(request: IncomingMessage, options: Answering, response: ServerResponse): Promise<void> {
  const target = targetOf(request);
  if (target === undefined || (request.headers.host === undefined && request.httpVersion !== '1.0')) {
    response.setHeader('connection', 'close');
    const what =
      target === undefined
        ? 'the request target is no path and no URL, or has a user name, a backslash or a segment . or .. in it'
        : 'Host is missing';
    return problem(response, 400, what);
  }
  if (request.headers.expect !== undefined && !/^100-continue$/i.test(request.headers.expect)) {
    response.setHeader('connection', 'close');
    return problem(response, 417, 'of Expect only 100-continue is known');
  }
  // Never reflected (RFC 9110 §9.3.8); the fetch API has no request of this sort.
  if (request.method === 'TRACE') {
    request.resume();
    return problem(response, 405, 'TRACE is not answered', { allow: 'GET, HEAD' });
  }
  const path = target.pathname;
  if (options.api?.owns(path) === true) {
    if (options.starting?.() !== true) return options.api.handle(request, response);
    request.resume();
    response.setHeader('retry-after', '1');
    return problem(response, 503, 'Postern is starting; try again in a moment');
  }
  const page = await options.pages?.(withoutBody(request, target));
  if (page) {
    response.writeHead(page.status, [...page.headers].flat());
    response.end(await page.text());
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return problem(response, 405, 'only GET is answered here', { allow: 'GET, HEAD' });
  if (path === '/metrics') {
    if (options.api && !(await options.api.mayReadMetrics(request)))
      return problem(response, 401, 'beyond this machine metrics need an API key that allows metrics:read');
    return send(response, 200, 'text/plain; version=0.0.4; charset=utf-8', await options.metrics());
  }
  if (options.installation && isHealth(request)) response.setHeader(INSTALLATION_HEADER, options.installation);
  if (path === '/healthz') return json(response, 200, { status: 'ok' });
  if (path === '/readyz') {
    const problems = await options.ready();
    return json(response, problems.length === 0 ? 200 : 503, {
      status: problems.length === 0 ? 'ready' : 'not ready',
      problems,
      warnings: options.warnings?.() ?? [],
    });
  }
  return problem(response, 404, 'there is /openapi.json, /metrics, /healthz and /readyz');
}

/** What makes another path of one (RFC 3986 §5.2.4, WHATWG URL). */
const DOTS = /\\|\/(?:\.|%2e){1,2}(?:\/|$)/i;

/**
 * Where a request goes: a path, or a whole URL (RFC 9112 §3.2.1, §3.2.2) without a user name. Its host is what the client says it is.
 * Undefined: neither, or a path that would become another one (RFC 3986 §5.2.4): a proxy before this server may have judged it as it came.
 */
function targetOf({ url = '/', headers }: IncomingMessage): URL | undefined {
  const base = `http://${headers.host ?? 'localhost'}`;
  if (!/^(?:\/|https?:\/\/)/i.test(url) || DOTS.test(url.replace(/[?#].*$/s, ''))) return undefined;
  const whole = url.startsWith('/') ? `${base}${url}` : url;
  const target = URL.canParse(whole) ? new URL(whole) : undefined;
  return target === undefined || target.username !== '' || target.password !== '' ? undefined : target;
}

/** The request as the fetch API has it. */
function withoutBody(request: IncomingMessage, target: URL): Request {
  request.resume();
  const headers = Object.entries(request.headers).flatMap(([name, value]): [string, string][] =>
    typeof value === 'string' ? [[name, value]] : [],
  );
  return new Request(target, { method: request.method ?? 'GET', headers });
}

type Headers = Readonly<Record<string, string>>;

function json(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, 'application/json', `${JSON.stringify(body)}\n`);
}

/** RFC 9457. */
function problem(response: ServerResponse, status: number, detail: string, headers: Headers = {}): void {
  const body = `${JSON.stringify({ type: 'about:blank', status, detail })}\n`;
  send(response, status, 'application/problem+json', body, headers);
}

function send(
  response: ServerResponse,
  status: number,
  type: string,
  body: string | Buffer,
  headers: Headers = {},
): void {
  response.writeHead(status, {
    ...headers,
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
