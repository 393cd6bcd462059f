/** `/v1/messages`: changing what waits, and one message for each of many. */
import { createHash } from 'node:crypto';
import { createRoute, z } from '@hono/zod-openapi';
import { text, time } from '../../admin/schema.ts';
import type { OutboxMessage } from '../../store/types-outbox.ts';
import type { ApiApp } from './app.ts';
import { apiError } from './errors.ts';
import { oneAddress, prepare, sendingMailbox } from './content.ts';
import { addressList, contentInput, lane, messageInput, messageSchema, shownMessage } from './message-schema.ts';
import { findMessage, keyHeader, requestOf } from './message-request.ts';
import { type ApiContext, type ApiDeps, need, recordChange } from './request.ts';
import { json, jsonBody, problems, holdReason } from './schema.ts';

const byId = z.object({ id: text(60) });
const editInput = z
  .strictObject({
    scheduledAt: time.optional(),
    expiresAt: time.optional(),
    lane: lane.optional(),
    content: contentInput.optional().openapi({ description: 'another message in its place, with its own recipients' }),
  })
  .openapi('MessageEdit');
/** A merge is rendered whole before anything is taken, so it has to fit into memory. */
const MAX_MERGED = 500;
const mergeInput = messageInput
  .omit({ to: true, cc: true, bcc: true, template: true })
  .extend({
    template: z.strictObject({ name: text(100), version: z.int().min(1).optional() }),
    merge: z
      .array(
        z.strictObject({
          to: addressList,
          cc: addressList.optional(),
          bcc: addressList.optional(),
          data: z.record(z.string(), z.unknown()).default({}),
        }),
      )
      .min(1)
      .max(MAX_MERGED),
  })
  .openapi('Merge');
const changed = { 200: json(messageSchema, 'as it is now'), ...problems };

export function messageChanges(app: ApiApp, deps: ApiDeps): void {
  const { outbox, audit } = deps;
  const tags = ['messages'];
  const record = (c: ApiContext, what: string, { id, mailbox }: OutboxMessage): Promise<void> =>
    recordChange(c, audit, what, { messageId: id }, mailbox);

  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/messages/merge',
      operationId: 'sendMerge',
      summary: 'One message for each entry, from one template',
      tags,
      description:
        'All entries are checked and filled in before the first message is taken. With an Idempotency-Key a repeated request takes only what is missing.',
      request: { headers: keyHeader, body: jsonBody(mergeInput) },
      responses: {
        202: json(
          z.object({ items: z.array(z.object({ id: z.string(), messageId: z.string(), replayed: z.boolean() })) }),
          'durable, in the order of the entries',
        ),
        ...problems,
      },
    }),
    async (c) => {
      need(c, 'messages:send');
      const key = c.req.valid('header')['idempotency-key'];
      const {
        from: sender,
        mailbox: named,
        merge,
        template,
        scheduledAt,
        expiresAt,
        lane,
        ...common
      } = c.req.valid('json');
      const from = oneAddress(sender, 'from');
      const mailbox = await sendingMailbox(c, deps, from.address, named);
      const ready = [];
      for (const { data, ...addressed } of merge)
        ready.push(await prepare(c, deps, from, { ...common, ...addressed, template: { ...template, data } }));
      // Together they share the commits of the outbox.
      const accepted = await Promise.all(
        ready.map(({ recipients, body }, index) => {
          const one = key === undefined ? undefined : `${key}#${index}`;
          const asked = { from: sender, template, scheduledAt, expiresAt, lane, common, entry: merge[index] };
          const fingerprint = createHash('sha256').update(JSON.stringify(asked)).digest('hex');
          const request = requestOf(c, mailbox, { scheduledAt, expiresAt, lane }, one);
          const envelope = { from: from.address, recipients };
          return outbox.accept({ ...request, envelope, fingerprint }, body);
        }),
      );
      const items = accepted.map(({ message: { id, messageId }, replayed }) => ({ id, messageId, replayed }));
      return c.json({ items }, 202);
    },
  );
  app.openapi(
    createRoute({
      method: 'patch',
      path: '/v1/messages/{id}',
      operationId: 'editMessage',
      summary: 'Change a message that waits: its time, its lane, or all of it',
      tags,
      request: { params: byId, body: jsonBody(editInput) },
      responses: changed,
    }),
    async (c) => {
      const { id: by } = need(c, 'messages:write');
      const message = await findMessage(c, deps, c.req.valid('param').id);
      const { scheduledAt, expiresAt, lane, content } = c.req.valid('json');
      const from = { name: '', address: message.envelopeFrom, ...(content?.from && oneAddress(content.from, 'from')) };
      if (from.address.toLowerCase() !== message.envelopeFrom.toLowerCase())
        throw apiError('api.request', 'the sender of a message cannot be edited', {
          hint: 'cancel the message, and hand over another one',
        });
      const ready = content && (await prepare(c, deps, from, content));
      const edited = await outbox.edit(message.id, by, {
        ...(scheduledAt === undefined ? {} : { notBefore: Date.parse(scheduledAt) }),
        ...(expiresAt === undefined ? {} : { deadline: Date.parse(expiresAt) }),
        ...(lane === undefined ? {} : { lane }),
        ...(ready ? { recipients: ready.recipients, body: ready.body } : {}),
      });
      await record(c, 'message.edited', message);
      return c.json(shownMessage(edited), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/messages/{id}/cancel',
      operationId: 'cancelMessage',
      summary: 'Never send it',
      tags,
      request: { params: byId },
      responses: changed,
    }),
    async (c) => {
      const { id: by } = need(c, 'messages:write');
      const message = await findMessage(c, deps, c.req.valid('param').id);
      const cancelled = await outbox.cancel(message.id, by);
      await record(c, 'message.cancelled', message);
      return c.json(shownMessage(cancelled), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/messages/{id}/retry',
      operationId: 'retryMessage',
      summary: 'Send it now: one that waits, is held, or has failed',
      tags,
      request: { params: byId },
      responses: changed,
    }),
    async (c) => {
      const { id: by } = need(c, 'messages:write');
      const message = await findMessage(c, deps, c.req.valid('param').id);
      const queued = await outbox.retry(message.id, by);
      await record(c, 'message.retried', message);
      return c.json(shownMessage(queued), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/messages/{id}/hold',
      operationId: 'holdMessage',
      summary: 'Keep it until somebody says retry',
      tags,
      request: { params: byId, body: jsonBody(z.object({ reason: holdReason })) },
      responses: changed,
    }),
    async (c) => {
      const { id: by } = need(c, 'messages:write');
      const message = await findMessage(c, deps, c.req.valid('param').id);
      const held = await outbox.hold(message.id, by, c.req.valid('json').reason);
      await record(c, 'message.held', message);
      return c.json(shownMessage(held), 200);
    },
  );
}
