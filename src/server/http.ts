/** The console port: the HTTP API, pages, `/metrics`, `/healthz`, `/readyz`. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../base/clock.ts';
import type { PosternError } from '../base/error.ts';
import { listenFailure, type Listening } from '../base/listen-failure.ts';
import { INSTALLATION_HEADER } from '../check/answerer.ts';
import type { ApiListener } from './api/listener.ts';
import type { CertificateInUse } from './certificate-in-use.ts';
import { keysOf } from '../protocol/tls/server.ts';
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
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    if (!places.begin(request, response) && !isHealth(request)) {
      response.setHeader('connection', 'close').setHeader('retry-after', '5');
      return problem(response, 503, 'too many connections to this port; try again later');
    }
    answer(request, options, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else problem(response, 500, error instanceof Error ? error.message : 'unknown');
    });
  };
  const secure = (certificate: CertificateInUse) => ({
    ...keysOf(certificate.current),
    minVersion: 'TLSv1.2' as const,
  });
  let watch: { stop(): void } | undefined;
  let server: Server;
  if (tls) {
    const encrypted = createTlsServer(secure(tls), serve);
    watch = tls.onChange(() => encrypted.setSecureContext(secure(tls)));
    server = encrypted;
  } else server = createServer(serve);
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = HEADERS_MS;
  const places = new HttpPlaces(server, options.limits);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(cannotListen(cause, options)));
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        watch?.stop();
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

async function answer(request: IncomingMessage, options: ConsoleOptions, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '/').split('?')[0]!;
  if (options.api?.owns(path) === true) {
    if (options.starting?.() !== true) return options.api.handle(request, response);
    request.resume();
    response.setHeader('retry-after', '1');
    return problem(response, 503, 'Postern is starting; try again in a moment');
  }
  const page = await options.pages?.(withoutBody(request));
  if (page) {
    response.writeHead(page.status, [...page.headers].flat());
    response.end(await page.text());
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return problem(response, 405, 'only GET is answered here');
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

/** The request as the fetch API has it. Its host is what the client says it is. */
function withoutBody(request: IncomingMessage): Request {
  request.resume();
  const base = `http://${request.headers.host ?? 'localhost'}`;
  const url = URL.canParse(request.url ?? '/', base)
    ? new URL(request.url ?? '/', base)
    : new URL('http://localhost/bad');
  const headers = Object.entries(request.headers).flatMap(([name, value]): [string, string][] =>
    typeof value === 'string' ? [[name, value]] : [],
  );
  return new Request(url, { method: request.method ?? 'GET', headers });
}

function json(response: ServerResponse, status: number, body: unknown, type = 'application/json'): void {
  send(response, status, type, `${JSON.stringify(body)}\n`);
}

/** RFC 9457. */
function problem(response: ServerResponse, status: number, detail: string): void {
  json(response, status, { type: 'about:blank', status, detail }, 'application/problem+json');
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
