/** Failures as RFC 9457 problems: our codes, kinds and next steps, for programs. */
import { z } from '@hono/zod-openapi';
import { asError, baseError, type ErrorRow, type PosternError } from '../../base/error.ts';
import { outside } from '../../base/outside.ts';
import { replyTo } from '../../base/replies.ts';
import { accessError } from '../../access/errors.ts';
import { oauthError } from '../../oauth/errors.ts';
import { OUTCOMES, outboxError } from '../../outbox/errors.ts';
import { storeError } from '../../store/errors.ts';
import { vaultError } from '../../vault/errors.ts';
import { apiError } from './errors.ts';

export const problemSchema = z
  .object({
    type: z.string().openapi({ description: 'where this code is explained', example: '/errors/outbox.too-late' }),
    title: z.string().openapi({ description: 'who has to act' }),
    status: z.int(),
    detail: z.string().openapi({ description: 'what happened, in plain words' }),
    code: z.string().openapi({ description: 'stays the same; docs/errors.md lists all', example: 'outbox.too-late' }),
    kind: z.enum(['misuse', 'denied', 'refused', 'later', 'garbled', 'limit', 'bug']),
    hint: z.string().openapi({ description: 'the next step for a person' }),
    requestId: z.string().openapi({ description: 'to be found in log and audit' }),
    retryAt: z.iso.datetime().optional(),
    violations: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .openapi({ description: 'each wrong field of the request' }),
    facts: z.record(z.string(), z.unknown()).optional(),
  })
  .openapi('Problem');

const TITLES: Readonly<Record<PosternError['kind'], string>> = {
  misuse: 'the request is wrong',
  denied: 'not allowed',
  refused: 'refused for good',
  later: 'temporarily not possible',
  garbled: 'the other side broke its protocol',
  limit: 'a limit was reached',
  bug: 'a defect in Postern',
};

/** @param now milliseconds since the epoch, for Retry-After */
export function problemOf(thrown: unknown, requestId: string, now: number): Response {
  const error = outside(asError(thrown));
  const status = statusOf(error);
  const { violations, ...facts } = error.detail;
  const body = {
    type: `/errors/${error.code}`,
    title: titleOf(error, status),
    status,
    // What a defect says is for the log: it may quote anything.
    detail: error.kind === 'bug' ? 'the log has more under this request id' : error.message,
    code: error.code,
    kind: error.kind,
    hint: error.hint,
    requestId,
    ...(error.retryAt ? { retryAt: error.retryAt.toISOString() } : {}),
    ...(violations === undefined ? {} : { violations }),
    ...(error.kind === 'bug' || Object.keys(facts).length === 0 ? {} : { facts }),
  };
  const wait = retryAfter(error, status, now);
  return new Response(`${JSON.stringify(body)}\n`, {
    status,
    headers: {
      'content-type': 'application/problem+json',
      ...(wait === undefined ? {} : { 'retry-after': String(wait) }),
      ...(status === 401 ? { 'www-authenticate': 'Bearer realm="Postern"' } : {}),
    },
  });
}

/** What the operator has to correct is no fault of the request, although its kind is that of a misuse. */
function titleOf({ kind }: PosternError, status: number): string {
  return kind === 'misuse' && status >= 500 ? 'whoever runs this Postern has to act' : TITLES[kind];
}

/** The HTTP status of a failure. */
export function statusOf(error: PosternError): number {
  return replyTo(error).http;
}

/** Seconds. What passes by itself may always be tried again, so programs are always told when. */
const SOON_S = 5;
function retryAfter(error: PosternError, status: number, now: number): number | undefined {
  if (error.retryAt) return Math.max(1, Math.ceil((error.retryAt.getTime() - now) / 1000));
  return status === 503 || error.kind === 'later' ? SOON_S : undefined;
}

/** What `type` leads to, and what events and messages name: a code in plain words. Undefined for a code that the API never gives. */
export function explanationOf(code: string): string | undefined {
  const table: Readonly<Record<string, ErrorRow>> = {
    ...apiError.table,
    ...outboxError.table,
    ...OUTCOMES,
    ...accessError.table,
    ...storeError.table,
    ...vaultError.table,
    ...oauthError.table,
    ...baseError.table,
  };
  const row = Object.hasOwn(table, code) ? table[code] : undefined;
  return row && `${code}: ${TITLES[row.kind]}\nNext: ${row.hint}\nAll codes: docs/errors.md\n`;
}
