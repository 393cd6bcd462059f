/**
 * The loopback redirect of native applications (RFC 8252 §7.3): a listener for one answer. It is named `localhost`, the only
 * name Microsoft accepts with any port, and so listens on both loopback addresses, as a browser may pick either.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '../base/clock.ts';
import type { PosternError } from '../base/error.ts';
import { listenFailure } from '../base/listen-failure.ts';
import { oauthError } from '../oauth/errors.ts';
import { isAnswer, type Redirect, stateOf } from './redirect.ts';

export interface LoopbackOptions {
  /** 0, the default, takes a free port; providers other than Microsoft want the registered one. */
  readonly port?: number;
  /** Shows the sign-in page to the person. */
  readonly open: (authorizationUrl: string) => Promise<void> | void;
  /** How long to wait for the answer. Default ten minutes, the life of a code. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

/** @throws oauth.port-taken */
export async function listenForRedirect(options: LoopbackOptions): Promise<Redirect> {
  const clock = options.clock ?? systemClock;
  let expected: { readonly state: string; readonly arrived: (answer: URL) => void } | undefined;
  let uri = '';

  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    response.setHeader('connection', 'close');
    response.setHeader('cache-control', 'no-store');
    response.setHeader('referrer-policy', 'no-referrer');
    response.setHeader('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'");
    const target = URL.canParse(request.url ?? '', uri) ? new URL(request.url ?? '', uri) : undefined;
    if (!target || target.pathname !== '/') return reply(response, 404, 'Not found', 'There is nothing here.');
    if (request.method !== 'GET')
      return reply(response, 405, 'Not allowed', 'Only the sign-in page’s answer is expected here.');
    if (!isLocal(request.headers.host, uri))
      return reply(response, 421, 'Wrong host', 'This address is for this computer only.');
    // Anybody on this machine, or any page in the browser, can come here: only the right state ends the wait.
    if (!expected || !isAnswer(target.searchParams) || !same(target.searchParams.get('state') ?? '', expected.state)) {
      return reply(
        response,
        400,
        'Not this sign-in',
        'This answer does not belong to the sign-in that is waiting. Use the newest page.',
      );
    }
    const { arrived } = expected;
    expected = undefined;
    if (target.searchParams.has('error'))
      reply(response, 200, 'Not signed in', 'The provider reported a problem. The terminal says which.');
    else
      reply(
        response,
        200,
        'Thank you',
        'The answer has arrived. You can close this page; the terminal says whether everything fits.',
      );
    arrived(target);
  };

  const servers = await listenOnBoth(options.port ?? 0, handle);
  uri = `http://localhost:${(servers[0]!.address() as AddressInfo).port}/`;

  return {
    uri,
    wait: (authorizationUrl, signal) =>
      new Promise((resolve, reject) => {
        const state = stateOf(authorizationUrl);
        if (!state) return reject(oauthError('oauth.redirect-invalid', 'the authorization address carries no state'));
        const end = (settle: () => void): void => {
          timer.cancel();
          signal?.removeEventListener('abort', aborted);
          expected = undefined;
          settle();
        };
        const aborted = (): void => end(() => reject(signal?.reason as Error));
        const timer = clock.after(options.timeoutMs ?? 10 * 60_000, () =>
          end(() => reject(oauthError('oauth.consent-expired', 'nobody finished the sign-in in time'))),
        );
        if (signal?.aborted) return aborted();
        signal?.addEventListener('abort', aborted, { once: true });
        expected = { state, arrived: (answer) => end(() => resolve(answer)) };
        Promise.resolve()
          .then(() => options.open(authorizationUrl))
          .catch((error: unknown) => end(() => reject(error)));
      }),
    close: async () => {
      await Promise.all(servers.map(closeServer));
    },
  };
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** 127.0.0.1, and ::1 with the same port where the machine has it and the port is free there. */
async function listenOnBoth(port: number, handle: Handler): Promise<readonly Server[]> {
  const first = await listen(port, '127.0.0.1', handle).catch((cause: unknown) => {
    throw portTaken(cause, '127.0.0.1', port);
  });
  const chosen = (first.address() as AddressInfo).port;
  try {
    return [first, await listen(chosen, '::1', handle)];
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL') return [first];
    await closeServer(first);
    // Somebody else owns [::1] at this port: a browser that prefers IPv6 would hand them the code.
    if (code === 'EADDRINUSE' && port === 0) return listenOnBoth(0, handle);
    throw portTaken(cause, '::1', chosen);
  }
}

function portTaken(cause: unknown, host: string, port: number): PosternError {
  const { why } = listenFailure(cause, { host, port, what: 'the answer of the sign-in' });
  return oauthError('oauth.port-taken', `port ${port} on ${host} cannot be used: ${why}`, { cause });
}

function listen(port: number, host: string, handle: Handler): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ requestTimeout: 10_000, maxHeaderSize: 32_768 }, handle);
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve(server);
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
}

function isLocal(host: string | undefined, uri: string): boolean {
  const { port } = new URL(uri);
  return host === `localhost:${port}` || host === `127.0.0.1:${port}` || host === `[::1]:${port}`;
}

function same(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

function reply(response: ServerResponse, status: number, title: string, text: string): void {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' });
  response.end(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title} – Postern</title>
<style>
  body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 18vh auto 0; padding: 0 1.5rem; color-scheme: light dark }
  h1 { font-size: 1.6rem }
</style>
<h1>${title}</h1>
<p>${text}</p>
</html>
`);
}
