/** `/v1/messages`: handing mail over, and following it. */
import { mailboxesOf } from '../../admin/actor.ts';
import { createHash } from 'node:crypto';
import { z } from '@hono/zod-openapi';
import { perform } from '../../admin/act.ts';
import { findMessage, findOpened } from '../../admin/find.ts';
import { readMessage } from '../../admin/messages.ts';
import { text } from '../../admin/schema.ts';
import { messageSchema, shownMessage } from '../../admin/shown-message.ts';
import type { Accepted } from '../../outbox/types.ts';
import { jsonOf } from './body.ts';
import { oneAddress, prepare, sendingMailbox } from './content.ts';
import { apiError } from './errors.ts';
import { eventSchema, shownEvent } from './events.ts';
import { readFinished } from './finished-message.ts';
import { keyHeader, requestOf } from './message-request.ts';
import { type MessageInput, messageInput, sendShape, STATES } from './message-schema.ts';
import { actorOf, type ApiApp, type ApiContext, type ApiDeps, queryOf, streamedBody, valid } from './request.ts';
import { json, page, pageOf, pageQuery, operation, readCursor } from './schema.ts';

const byId = z.object({ id: text(60) });
const several = z.union([text(16_000), z.array(text(320)).max(1000)]);
const rawQuery = z.object({
  ...sendShape,
  from: text(320).optional().openapi({ description: 'of the envelope; missing: of the header' }),
  to: several.optional().openapi({
    description:
      'recipients; missing: To, Cc and Bcc of the header, or Resent-To, -Cc and -Bcc of its newest resending, which needs Resent-From',
  }),
});
const acceptedSchema = z
  .object(messageSchema.shape)
  .openapi('Message')
  .extend({ replayed: z.boolean().openapi({ description: 'it was accepted before, under the same Idempotency-Key' }) })
  .openapi('AcceptedMessage');

export function messages(app: ApiApp, deps: ApiDeps): void {
  const { outbox, store } = deps;
  app.openAPIRegistry.register('NewMessage', messageInput);
  app.openAPIRegistry.registerPath(
    operation('post', '/v1/messages', 'messages:send', {
      operationId: 'sendMessage',
      summary: 'Hand over a message; with 202 it is durable',
      description:
        'As JSON, or as a finished message (message/rfc822, lines ending with CRLF or LF) whose envelope is in the query or its header; Bcc is taken out. The query parameters are for message/rfc822 only.',
      request: {
        headers: keyHeader,
        query: rawQuery,
        body: {
          required: true,
          content: {
            'application/json': { schema: { $ref: '#/components/schemas/NewMessage' } },
            'message/rfc822': { schema: { type: 'string', format: 'binary' } },
          },
        },
      },
      responses: {
        202: json(acceptedSchema, 'durable; it will be delivered, or its sender is told why not'),
      },
    }),
  );
  // Checked here: the two forms have schemas of their own, and this is the operation that is called a thousand times a second.
  app.post('/v1/messages', async (c) => {
    const { 'idempotency-key': key } = valid(keyHeader, { 'idempotency-key': c.req.header('idempotency-key') });
    const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase();
    if (type === 'message/rfc822') {
      const query = valid(rawQuery, queryOf(c));
      return answer(c, await sendFinished(c, deps, query, key));
    }
    if (type !== 'application/json')
      throw apiError('api.media-type', 'a message is application/json or message/rfc822');
    return answer(c, await sendComposed(c, deps, valid(messageInput, await jsonOf(c.req)), key));
  });
  app.openapi(
    operation('get', '/v1/messages', 'messages:read', {
      operationId: 'listMessages',
      summary: 'Messages, newest first',
      request: {
        query: pageQuery.extend({
          mailbox: text(320).optional(),
          state: text(100)
            .regex(new RegExp(`^(?:${STATES.join('|')})(?:,(?:${STATES.join('|')}))*$`), `of ${STATES.join(', ')}`)
            .optional()
            .openapi({ description: 'one or several, separated by commas', example: 'queued,held' }),
          recipient: text(320).optional(),
          messageId: text(1000).optional().openapi({ description: 'Message-ID of the header' }),
        }),
      },
      responses: { 200: json(pageOf(shownMessage), 'newest first') },
    }),
    async (c) => {
      const { limit, cursor, mailbox, state, recipient, messageId } = c.req.valid('query');
      const before = readCursor(cursor, z.int());
      const states = state?.split(',');
      const own = mailboxesOf(actorOf(c));
      const filter = {
        mailbox: mailbox === undefined ? undefined : (await findOpened({ store }, mailbox, actorOf(c))).address,
        mailboxes: mailbox === undefined ? own : undefined,
        states: states && STATES.filter((one) => states.includes(one)),
        recipient,
        messageId,
      };
      const rows = await outbox.list(filter, { limit: limit + 1, ...(before === undefined ? {} : { before }) });
      return c.json(
        page(rows, limit, (row) => z.encode(shownMessage, row)),
        200,
      );
    },
  );
  app.openapi(
    operation('get', '/v1/messages/{id}', 'messages:read', {
      operationId: 'getMessage',
      summary: 'One message',
      request: { params: byId },
      responses: { 200: json(shownMessage, 'the message') },
    }),
    async (c) => {
      return c.json(z.encode(shownMessage, await findMessage(deps, c.req.valid('param').id, actorOf(c))), 200);
    },
  );
  app.openapi(
    operation('get', '/v1/messages/{id}/events', 'messages:read', {
      operationId: 'listMessageEvents',
      summary: 'The story of a message, oldest first, with the replies of servers',
      request: { params: byId, query: pageQuery },
      responses: { 200: json(pageOf(eventSchema), 'oldest first') },
    }),
    async (c) => {
      const { id } = await findMessage(deps, c.req.valid('param').id, actorOf(c));
      const { limit, cursor } = c.req.valid('query');
      const after = readCursor(cursor, z.int()) ?? 0;
      const rows = await outbox.events({ messageId: id, after, limit: limit + 1 });
      return c.json(page(rows, limit, shownEvent), 200);
    },
  );
  app.openapi(
    operation('get', '/v1/messages/{id}/body', readMessage.permission, {
      operationId: 'getMessageBody',
      summary: readMessage.summary,
      request: { params: byId },
      responses: {
        200: {
          description: 'RFC 5322',
          content: { 'message/rfc822': { schema: z.string().openapi({ format: 'binary' }) } },
        },
      },
    }),
    async (c) => {
      const message = await perform(readMessage, deps, actorOf(c), c.req.valid('param'));
      return new Response(ReadableStream.from(outbox.body(message)), {
        headers: {
          'content-type': 'message/rfc822',
          'content-length': String(message.size),
          'content-disposition': `attachment; filename="${message.id}.eml"`,
        },
      });
    },
  );
}

async function sendComposed(
  c: ApiContext,
  deps: ApiDeps,
  input: MessageInput,
  key: string | undefined,
): Promise<Accepted> {
  const { from: sender, mailbox: named, scheduledAt, expiresAt, lane, ...content } = input;
  const from = oneAddress(sender, 'from');
  const mailbox = await sendingMailbox(c, deps, from.address, named);
  const { recipients, octets, body } = await prepare(c, deps, from, content);
  // Of words of its own the request counts already.
  if (content.template) await c.get('room')?.take(octets);
  return deps.outbox.accept(
    {
      ...(await requestOf(c, deps, mailbox, { scheduledAt, expiresAt, lane }, key)),
      envelope: { from: from.address, recipients },
      // Boundaries and dates differ each time; what was asked for does not.
      ...(key === undefined ? {} : { fingerprint: createHash('sha256').update(JSON.stringify(input)).digest('hex') }),
    },
    c.get('hold').made(body()),
  );
}

async function sendFinished(
  c: ApiContext,
  deps: ApiDeps,
  query: z.infer<typeof rawQuery>,
  key: string | undefined,
): Promise<Accepted> {
  const { addresses, octets } = await readFinished(streamedBody(c));
  const { localDomain } = deps.outbox;
  const whole = (address: string): string =>
    localDomain === undefined || address === '' || address.includes('@') ? address : `${address}@${localDomain}`;
  const named = query.from ?? addresses.from;
  if (named === undefined)
    throw apiError('api.request', 'the message has no From, and the query no from', { hint: 'add ?from=ADDRESS' });
  const from = whole(named === '<>' ? '' : named);
  const given = query.to === undefined ? undefined : [query.to].flat().flatMap((text) => text.split(','));
  if (given === undefined && addresses.isResentByNobody)
    throw apiError('api.request', 'the message has recipients to whom it is resent, and no Resent-From', {
      hint: 'add Resent-From and Resent-Date; or take out Resent-To, Resent-Cc and Resent-Bcc; or name the recipients by ?to=ADDRESS',
    });
  const recipients = (given ?? addresses.recipients).map((address) => ({ address: whole(address.trim()) }));
  const mailbox = await sendingMailbox(c, deps, from, query.mailbox);
  const request = {
    ...(await requestOf(c, deps, mailbox, query, key)),
    envelope: { from, recipients },
    dropBcc: true,
  };
  return deps.outbox.accept(request, octets);
}

function answer(c: ApiContext, { message, replayed }: Accepted) {
  c.header('location', `/v1/messages/${message.id}`);
  if (replayed) c.header('idempotency-replayed', 'true');
  return c.json({ ...z.encode(shownMessage, message), replayed }, 202);
}
