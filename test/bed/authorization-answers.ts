/** How the test authorization server answers: sign-in without a page, Microsoft's error bodies, failures on command. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { decodeJwt } from 'jose';
import type { Provider } from 'oidc-provider';

/** An answer to give instead of the real one. `after` lets the server do its work first, so that the real answer is lost. */
export interface Failure {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly after?: boolean;
  /** Cut the connection instead of answering. */
  readonly cut?: boolean;
}

/** Signs in whom login_hint names (alice by default), and consents to everything. */
export async function interact(provider: Provider, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    const accountId = textOf(params['login_hint']).split('@')[0] || 'alice';
    return provider.interactionFinished(request, response, { login: { accountId } });
  }
  const found = grantId ? await provider.Grant.find(grantId) : undefined;
  const grant =
    found ?? new provider.Grant({ accountId: session?.accountId ?? '', clientId: String(params['client_id']) });
  const asked = textOf(params['scope']).split(' ');
  grant.addOIDCScope(
    asked.filter((scope) => ['openid', 'profile', 'email', 'offline_access'].includes(scope)).join(' ') || 'openid',
  );
  const missing = (prompt.details['missingResourceScopes'] ?? {}) as Record<string, string[]>;
  for (const [resource, scopes] of Object.entries(missing)) grant.addResourceScope(resource, scopes.join(' '));
  const result = { consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

const AADSTS: Readonly<Record<string, readonly [number, string?]>> = {
  'refresh token already used': [70000, 'bad_token'],
  'refresh token not found': [70008, 'bad_token'],
  'grant not found': [50173, 'bad_token'],
  'grant request is invalid': [70000],
};

export function shaped(
  answer: Record<string, unknown>,
  body: URLSearchParams,
  detail: string | undefined,
): Record<string, unknown> {
  if (typeof answer['user_code'] === 'string') {
    const message = `To sign in, open ${String(answer['verification_uri'])} and enter the code ${answer['user_code']}.`;
    return { interval: 5, ...answer, message };
  }
  if (
    typeof answer['access_token'] === 'string' &&
    body.get('client_info') === '1' &&
    typeof answer['id_token'] === 'string'
  ) {
    const info = { uid: decodeJwt(answer['id_token']).sub, utid: decodeJwt(answer['id_token'])['tid'] };
    return { ...answer, client_info: Buffer.from(JSON.stringify(info)).toString('base64url') };
  }
  if (typeof answer['error'] !== 'string') return answer;
  const [code, suberror] = AADSTS[detail ?? ''] ?? (answer['error'] === 'invalid_client' ? [7000215] : []);
  if (code === undefined) return answer;
  const ids = { timestamp: new Date().toISOString(), trace_id: randomUUID(), correlation_id: randomUUID() };
  return {
    ...answer,
    ...ids,
    error_description: `AADSTS${code}: ${detail ?? String(answer['error_description'])}. Trace ID: ${ids.trace_id}`,
    error_codes: [code],
    ...(suberror ? { suberror } : {}),
  };
}

/** Replaces the real answer after the server has done its work. */
export function override(response: ServerResponse, failure: Failure): void {
  const end = response.end.bind(response);
  response.end = (() => {
    if (failure.cut) response.destroy();
    else {
      response.statusCode = failure.status;
      response.removeHeader('content-length');
      end(JSON.stringify(failure.body ?? {}));
    }
    return response;
  }) as typeof response.end;
}

export function answerFailure(response: ServerResponse, failure: Failure): void {
  if (failure.cut) return void response.destroy();
  response.writeHead(failure.status, { 'content-type': 'application/json', ...failure.headers });
  response.end(typeof failure.body === 'string' ? failure.body : JSON.stringify(failure.body ?? {}));
}

/** Reads a form; oidc-provider takes what was read from `body`. */
export async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const form = new URLSearchParams(Buffer.concat(chunks).toString());
  Object.defineProperty(request, 'body', { configurable: true, get: () => Object.fromEntries(form) });
  return form;
}

export function headerOf(jwt: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString()) as Record<string, unknown>;
}

/** A request parameter as text. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
