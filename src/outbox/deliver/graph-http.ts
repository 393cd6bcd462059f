/** Requests to Microsoft Graph, with what an answer says of when to come back. */
import { getCACertificates } from 'node:tls';
import { Agent, type Dispatcher, EnvHttpProxyAgent, fetch } from 'undici';
import type { Clock } from '../../base/clock.ts';
import { failureReason, objectIn, retryAfterMs } from '../../base/http-answer.ts';
import type { GraphAccess } from '../../oauth/graph-access.ts';
import { outboxError } from '../errors.ts';

export interface GraphRequest {
  readonly method: 'POST' | 'PUT' | 'DELETE';
  /** Below the origin, or a whole address of an upload session, which needs no token. */
  readonly path: string;
  readonly type?: string;
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** It sends: without an answer nobody knows whether it did. */
  readonly final?: boolean;
}

export interface GraphAnswer {
  readonly status: number;
  /** `error.code` of a refusal. */
  readonly code: string | undefined;
  /** `error.message`, or what there was instead of JSON. */
  readonly text: string;
  readonly requestId: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly json: Readonly<Record<string, unknown>>;
}

const ANSWER_MS = 120_000;
const MAX_ANSWER = 1 << 20;
const MAX_SHOWN = 1000;
/** Nothing has left yet, or the connection never came about. */
const BEFORE = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|CONNECT_TIMEOUT|CERT|SELF_SIGNED|UNABLE_TO_/;

export class GraphHttp {
  readonly #clock: Clock;
  readonly #agents = new Map<string, Dispatcher>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Any status is an answer. @throws outbox.graph-unreachable (nothing was done), outbox.graph-unknown (a final request without
   * an answer), the signal's reason
   */
  async ask(access: GraphAccess, request: GraphRequest, signal: AbortSignal): Promise<GraphAnswer> {
    const own = request.path.startsWith('/');
    const target = new URL(own ? `${access.origin}${request.path}` : request.path);
    try {
      const response = await fetch(target, {
        method: request.method,
        headers: {
          ...(own ? { authorization: `Bearer ${access.token.value.reveal()}` } : {}),
          ...(request.type === undefined ? {} : { 'content-type': request.type }),
          'user-agent': 'Postern',
          ...request.headers,
        },
        body: request.body ?? null,
        redirect: 'manual',
        dispatcher: this.#agent(access.ca),
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
      });
      return await this.#read(response);
    } catch (error) {
      signal.throwIfAborted();
      const why = failureReason(error);
      const unknown = request.final === true && !BEFORE.test(why);
      throw outboxError(unknown ? 'outbox.graph-unknown' : 'outbox.graph-unreachable', `${target.host}: ${why}`, {
        cause: error,
      });
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.close()));
  }

  #agent(ca: string | undefined): Dispatcher {
    const known = this.#agents.get(ca ?? '');
    if (known) return known;
    const tls = {
      minVersion: 'TLSv1.2' as const,
      ...(ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] }),
    };
    const shared = { connections: 8, bodyTimeout: ANSWER_MS, headersTimeout: ANSWER_MS };
    const connect = { ...tls, timeout: 10_000 };
    const proxied = ['HTTPS_PROXY', 'https_proxy'].some((name) => process.env[name]);
    const agent = proxied
      ? new EnvHttpProxyAgent({ ...shared, connect, requestTls: tls })
      : new Agent({ ...shared, connect });
    this.#agents.set(ca ?? '', agent);
    return agent;
  }

  async #read(response: Awaited<ReturnType<typeof fetch>>): Promise<GraphAnswer> {
    const { headers, status } = response;
    const pieces: Uint8Array[] = [];
    let size = 0;
    for await (const piece of response.body ?? []) {
      size += piece.length;
      if (size > MAX_ANSWER) break;
      pieces.push(piece);
    }
    const text = Buffer.concat(pieces).toString('utf8');
    const json = objectIn(text) ?? {};
    const error = json['error'];
    const { code, message } = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>;
    return {
      status,
      code: typeof code === 'string' ? code : undefined,
      text: (typeof message === 'string' ? message : text).slice(0, MAX_SHOWN),
      requestId: headers.get('request-id') ?? undefined,
      retryAfterMs: retryAfterMs(headers.get('retry-after'), this.#clock.now()),
      json,
    };
  }
}

/** @throws outbox.graph-refused with the answer, unless it is a good one */
export function mustBeGood(answer: GraphAnswer): GraphAnswer {
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw outboxError('outbox.graph-refused', `Microsoft Graph answered ${answer.status}: ${answer.text}`, {
    detail: { answer },
  });
}
