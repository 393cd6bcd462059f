/** The OpenAPI document, made from the schemas that check requests. */
import type { ApiApp } from './request.ts';

interface Header {
  readonly description: string;
  readonly required?: boolean;
  readonly schema: object;
}
type Document = ReturnType<ApiApp['getOpenAPI31Document']>;
type Operation = NonNullable<NonNullable<Document['paths']>[string]['get']>;

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

export function documentOf(app: ApiApp, version: string): Document {
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Postern',
      version,
      description:
        'Hand over mail and follow what becomes of it. A message answered with 202 is durable: it reaches the provider, or its sender learns why not. Failures are RFC 9457 problems. A method that a path does not have is answered with 405 and Allow, a path that is none with 404.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ key: [] }],
    tags: [
      { name: 'messages', description: 'mail handed over, and what became of it' },
      { name: 'uploads', description: 'attachments sent ahead' },
      { name: 'events', description: 'everything that happens, in order' },
      { name: 'mailboxes', description: 'what mail is sent through' },
      { name: 'templates', description: 'messages to be filled in' },
      { name: 'suppressions', description: 'addresses that get no mail' },
      { name: 'webhooks', description: 'who is told of events' },
    ],
  });
  for (const [path, item] of Object.entries(document.paths ?? {}))
    for (const method of METHODS) if (item[method]) describe(path, item[method]);
  return document;
}

const PROBLEM = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } };
const REQUEST_ID: Header = {
  description: 'to be found in log and audit',
  required: true,
  schema: { type: 'string', example: 'req_06b1v7c4n2hvr3q8f9t5x0w2ka' },
};
const RETRY_AFTER: Header = { description: 'seconds to wait', schema: { type: 'integer', minimum: 1 } };
const LOCATION: Header = { description: 'path of the message', required: true, schema: { type: 'string' } };
const REPLAYED: Header = {
  description: 'true: accepted before, under the same Idempotency-Key',
  schema: { type: 'string', enum: ['true'] },
};
const AUTHENTICATE: Header = { description: 'RFC 9110 §11.6.1', required: true, schema: { type: 'string' } };

const WORDS: Readonly<Record<string, string>> = {
  400: 'the request is not as this page describes it; `violations` names each wrong field',
  401: 'no valid API key',
  403: 'the key does not allow this, the mailbox may not send as this address or is suspended, or the request came in plain text',
  404: 'there is nothing of this name for this key',
  408: 'the body came too slowly',
  409: 'not in the state it is in, or the Idempotency-Key belongs to another message',
  413: 'the body is too large',
  415: 'the body has another Content-Type than this operation takes',
  422: 'understood and refused: an unknown query parameter, an address, a header field, a suppressed recipient, a template',
  429: 'too many requests; Retry-After says when to come again',
};

/** Operations that name a mailbox, template or upload elsewhere than in their path. */
const NAMING = new Set(
  'sendMessage sendMerge listMessages listEvents listSuppressions addSuppressions createWebhook'.split(' '),
);
const CONFLICTING = new Set('sendMessage sendMerge editMessage cancelMessage retryMessage holdMessage'.split(' '));

/** What every operation has in common: how it fails, and the headers of its answers. */
function describe(path: string, operation: Operation): void {
  const { operationId = '', requestBody, responses } = operation;
  const statuses = [400, 401, 403];
  if (path.includes('{') || NAMING.has(operationId)) statuses.push(404);
  if (CONFLICTING.has(operationId)) statuses.push(409);
  if (requestBody !== undefined) statuses.push(408, 413, 415);
  statuses.push(422, 429);
  const { default: other, ...good }: Readonly<Record<string, object>> = responses ?? {};
  const failed = statuses.map((status) => [status, { description: WORDS[status]!, content: PROBLEM }]);
  const all = { ...good, ...(Object.fromEntries(failed) as typeof good), ...(other && { default: other }) };
  const headersOf = (status: string): Readonly<Record<string, Header>> => ({
    'Request-Id': REQUEST_ID,
    ...(['409', '429', 'default'].includes(status) ? { 'Retry-After': RETRY_AFTER } : {}),
    ...(status === '401' ? { 'WWW-Authenticate': AUTHENTICATE } : {}),
    ...(status === '202' && operationId === 'sendMessage'
      ? { Location: LOCATION, 'Idempotency-Replayed': REPLAYED }
      : {}),
  });
  operation.responses = Object.fromEntries(
    Object.entries(all).map(([status, response]) => [status, { ...response, headers: headersOf(status) }]),
  );
}
