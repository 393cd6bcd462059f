/** How Microsoft Graph refuses: its error body (microsoft-graph-docs, concepts/errors). */
import { randomUUID } from 'node:crypto';
import { isError } from '../../base/error.ts';
import { sandboxError } from '../errors.ts';

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A refusal to throw; {@link answerRefusal} makes it Graph's body. */
export function refuse(
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Error {
  return sandboxError('sandbox.graph', message, { detail: { status, code, headers } });
}

/** Graph's answer to what was thrown; undefined for anything that is no refusal. */
export function answerRefusal(error: unknown, now: number, clientRequestId: string | undefined): Response | undefined {
  if (!isError(error, 'sandbox.graph')) return undefined;
  const { status, code, headers } = error.detail as Readonly<Record<string, unknown>> & Refusal;
  const id = randomUUID();
  const innerError = {
    date: new Date(now).toISOString().slice(0, 19),
    'request-id': id,
    'client-request-id': clientRequestId ?? id,
  };
  return Response.json(
    { error: { code, message: error.message, innerError } },
    { status, headers: { 'request-id': id, 'cache-control': 'no-store', ...headers } },
  );
}
