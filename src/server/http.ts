/** The console port: `/metrics`, `/healthz`, `/readyz`. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serverError } from './errors.ts';

export interface ConsoleOptions {
  readonly host: string;
  readonly port: number;
  /** Prometheus text format 0.0.4. */
  metrics(): Promise<string>;
  /** What stands against serving, in plain words; empty when ready. */
  ready(): Promise<readonly string[]>;
  /** Pages for people; undefined for what is none. Requests come without their body. */
  pages?(request: Request): Promise<Response | undefined>;
}

export interface Console {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws server.port-taken */
export async function startConsole(options: ConsoleOptions): Promise<Console> {
  const server = createServer((request, response) => {
    answer(request, options, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else problem(response, 500, error instanceof Error ? error.message : 'unknown');
    });
  });
  // Monitoring asks rarely and briefly; anything slower only holds sockets.
  server.requestTimeout = 10_000;
  server.headersTimeout = 5000;
  server.maxConnections = 100;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'EADDRINUSE'
          ? serverError('server.port-taken', `the console port ${options.port} is taken`, {
              hint: 'set console.port in postern.yaml to another one (0 picks a free port), or stop what holds it: ss -ltnp',
              detail: { port: options.port },
              cause,
            })
          : serverError(
              'server.config',
              `the console cannot listen on ${options.host}:${options.port}: ${cause.code}`,
              { cause },
            ),
      ),
    );
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(request: IncomingMessage, options: ConsoleOptions, response: ServerResponse): Promise<void> {
  const page = await options.pages?.(withoutBody(request));
  if (page) {
    response.writeHead(page.status, [...page.headers].flat());
    response.end(await page.text());
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return problem(response, 405, 'only GET is answered here');
  const path = (request.url ?? '/').split('?')[0];
  if (path === '/metrics')
    return send(response, 200, 'text/plain; version=0.0.4; charset=utf-8', await options.metrics());
  if (path === '/healthz') return json(response, 200, { status: 'ok' });
  if (path === '/readyz') {
    const problems = await options.ready();
    return json(response, problems.length === 0 ? 200 : 503, {
      status: problems.length === 0 ? 'ready' : 'not ready',
      problems,
    });
  }
  return problem(response, 404, 'there is /metrics, /healthz and /readyz');
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
