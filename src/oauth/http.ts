/**
 * HTTP to authorization servers: https only, the system's and the application's CAs, HTTP(S)_PROXY and NO_PROXY honoured,
 * bounded in time and size, redirects never followed. undici's own fetch, because Node's built-in one refuses a newer Agent.
 */
import { getCACertificates } from 'node:tls';
import { Agent, type Dispatcher, EnvHttpProxyAgent, fetch } from 'undici';
import { isError } from '../base/error.ts';
import { failureReason } from '../base/http-answer.ts';
import { oauthError } from './errors.ts';

export interface HttpRequest {
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | URLSearchParams | Uint8Array | null;
  readonly signal?: AbortSignal;
}

export interface Http {
  /**
   * One request; any status is an answer. The body is read completely before this resolves.
   * @throws oauth.provider-unreachable (no answer in time), oauth.provider-garbled (answer too large),
   *   oauth.misconfigured (not https)
   */
  request(url: string, request: HttpRequest): Promise<Response>;
  close(): Promise<void>;
}

export interface HttpOptions {
  /** PEM certificates to trust besides the system's. */
  readonly ca?: string | undefined;
  /** Token requests are given long: an answer that is not awaited may carry the only copy of a rotated refresh token. */
  readonly timeoutMs?: number;
  /** Managed identity endpoints only: plain http to the machine's own link, never through a proxy. */
  readonly insecureLocalEndpoint?: boolean;
}

export const TOKEN_TIMEOUT_MS = 30_000;
const LARGEST_ANSWER = 1 << 20;

export function openHttp(options: HttpOptions = {}): Http {
  const tls = {
    minVersion: 'TLSv1.2' as const,
    ...(options.ca ? { ca: [...getCACertificates('default'), options.ca] } : {}),
  };
  const shared = { connections: 8, bodyTimeout: 0, headersTimeout: 0 };
  const dispatcher: Dispatcher = options.insecureLocalEndpoint
    ? new Agent(shared)
    : new EnvHttpProxyAgent({ ...shared, connect: { ...tls, timeout: 10_000 }, requestTls: tls });
  const timeoutMs = options.timeoutMs ?? TOKEN_TIMEOUT_MS;

  return {
    async request(url, request) {
      const target = new URL(url);
      if (target.protocol !== 'https:' && !options.insecureLocalEndpoint) {
        throw oauthError('oauth.misconfigured', `refusing to speak to ${target.origin} without TLS`, {
          hint: 'use an https:// address for the authority or issuer',
          detail: { url: withoutQuery(target) },
        });
      }
      const timeout = AbortSignal.timeout(timeoutMs);
      try {
        const answer = await fetch(target, {
          method: request.method,
          headers: { ...request.headers },
          body: request.body ?? null,
          redirect: 'manual',
          signal: request.signal ? AbortSignal.any([timeout, request.signal]) : timeout,
          dispatcher,
        });
        const body = await readBounded(answer.body, target);
        const empty = answer.status === 204 || answer.status === 205 || answer.status === 304;
        return new Response(empty ? null : body, { status: answer.status, headers: [...answer.headers] });
      } catch (cause) {
        if (isError(cause)) throw cause;
        if (request.signal?.aborted) throw request.signal.reason;
        throw unreachable(target, cause, timeout.aborted ? timeoutMs : undefined);
      }
    },
    close: () => dispatcher.close(),
  };
}

function unreachable(target: URL, cause: unknown, timeoutMs: number | undefined): Error {
  const why = timeoutMs === undefined ? failureReason(cause) : `no answer within ${timeoutMs / 1000} s`;
  return oauthError('oauth.provider-unreachable', `${target.host} cannot be reached: ${why}`, {
    detail: { url: withoutQuery(target), reason: why },
    cause,
    ...(CERTIFICATE.test(why)
      ? {
          hint: 'the certificate is not trusted: give its CA as a PEM file with --ca FILE (to the command that asked, or once for all to postern application set NAME), or correct the clock',
        }
      : {}),
  });
}

const CERTIFICATE = /CERT|certificate|SELF_SIGNED|UNABLE_TO_VERIFY/i;

async function readBounded(stream: AsyncIterable<Uint8Array> | null, target: URL): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream ?? []) {
    size += chunk.byteLength;
    if (size > LARGEST_ANSWER) {
      throw oauthError('oauth.provider-garbled', `${target.host} answered with more than ${LARGEST_ANSWER} octets`);
    }
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function withoutQuery(url: URL): string {
  return `${url.origin}${url.pathname}`;
}
