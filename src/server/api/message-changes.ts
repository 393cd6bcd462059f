/** `/v1/messages`: changing what waits, and one message for each of many. */
import { foldCase } from '../../base/case.ts';
import { createHash } from 'node:crypto';
import { z } from '@hono/zod-openapi';
import { text, time } from '../../admin/schema.ts';
import { perform } from '../../admin/act.ts';
import { findMessage } from '../../admin/find.ts';
import { cancelMessage, editMessage, holdMessage, retryMessage, SENDING } from '../../admin/messages.ts';
import { lane, shownMessage } from '../../admin/shown-message.ts';
import type { Accepted } from '../../outbox/types.ts';
import type { ActRoutes } from './acts.ts';
import { apiError } from './errors.ts';
import { attachmentsOf, type Common, oneAddress, prepare, type Ready, sendingMailbox, templateOf } from './content.ts';
import { addressList, contentInput, messageInput } from './message-schema.ts';
import { keyHeader, requestOf, requireAhead } from './message-request.ts';
import { type ApiApp, actorOf, type ApiDeps } from './request.ts';
import { json, jsonBody, operation } from './schema.ts';

const byId = z.object({ id: text(60) });
const editInput = z
  .strictObject({
    scheduledAt: time.optional(),
    expiresAt: time.optional(),
    lane: lane.optional(),
    content: contentInput
      .optional()
      .openapi({ description: 'another message in its place, with its own recipients; takes messages:send as well' }),
  })
  .openapi('MessageEdit');
/** Entries of one request: more take longer than clients wait for an answer. */
const MAX_MERGED = 500;
/** Octets of composed messages held at once. */
const MERGED_AT_ONCE = 4_000_000;
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

export function messageChanges(app: ApiApp, deps: ApiDeps, { one }: ActRoutes): void {
  const { outbox } = deps;
  app.openapi(
    operation('post', '/v1/messages/merge', 'messages:send', {
      operationId: 'sendMerge',
      summary: 'One message for each entry, from one template',
      description:
        'All entries are checked and filled in before the first message is taken. With an Idempotency-Key a repeated request takes only what is missing.',
      request: { headers: keyHeader, body: jsonBody(mergeInput) },
      responses: {
        202: json(
          z.object({ items: z.array(z.object({ id: z.string(), messageId: z.string(), replayed: z.boolean() })) }),
          'durable, in the order of the entries',
        ),
      },
    }),
    async (c) => {
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
      const shared: Common = {
        template: await templateOf(deps, template, common.subject),
        attachments: await attachmentsOf(c, deps, common.attachments),
      };
      const fill = (entry: (typeof merge)[number]): Promise<Ready> => {
        const { data, ...addressed } = entry;
        return prepare(c, deps, from, { ...common, ...addressed, template: { ...template, data } }, shared);
      };
      const hold = c.get('hold');
      // Filled in twice, so that of many large ones only a few are held at once.
      const sizes = [];
      for (const entry of merge) {
        sizes.push((await fill(entry)).octets);
        await hold.confirm(mailbox.address);
      }
      const asked = JSON.stringify({ from: sender, template, scheduledAt, expiresAt, lane, common });
      const fingerprint = createHash('sha256').update(`${asked.slice(0, -1)},"entry":`);
      const accept = async (index: number): Promise<Accepted> => {
        const entry = merge[index]!;
        const { recipients, body } = await fill(entry);
        const one = key === undefined ? undefined : `${key}#${index}`;
        const request = await requestOf(c, deps, mailbox, { scheduledAt, expiresAt, lane }, one);
        const envelope = { from: from.address, recipients };
        const print = fingerprint
          .copy()
          .update(`${JSON.stringify(entry)}}`)
          .digest('hex');
        return outbox.accept({ ...request, envelope, fingerprint: print }, hold.made(body()));
      };
      const accepted: Accepted[] = [];
      for (const { first, end, octets } of together(sizes)) {
        await c.get('room')?.take(octets);
        const numbers = Array.from({ length: end - first }, (_, at) => first + at);
        // Together they share the commits of the outbox.
        accepted.push(...(await Promise.all(numbers.map(accept))));
        c.get('room')?.give(octets);
      }
      const items = accepted.map(({ message: { id, messageId }, replayed }) => ({ id, messageId, replayed }));
      return c.json({ items }, 202);
    },
  );
  app.openapi(
    operation('patch', '/v1/messages/{id}', editMessage.permission, {
      operationId: 'editMessage',
      summary: editMessage.summary,
      request: { params: byId, body: jsonBody(editInput) },
      responses: { 200: json(shownMessage, 'as it is now') },
    }),
    async (c) => {
      const { id, envelopeFrom, mailbox } = await findMessage(deps, c.req.valid('param').id, actorOf(c));
      const { scheduledAt, expiresAt, lane, content } = c.req.valid('json');
      if (content) c.get('hold').also(SENDING);
      if (expiresAt !== undefined) requireAhead(Date.parse(expiresAt), deps.clock.now());
      const from = { name: '', address: envelopeFrom, ...(content?.from && oneAddress(content.from, 'from')) };
      if (foldCase(from.address) !== foldCase(envelopeFrom))
        throw apiError('api.request', 'the sender of a message cannot be edited', {
          hint: 'cancel the message, and hand over another one',
        });
      const ready = content && (await prepare(c, deps, from, content));
      if (ready && content.template) await c.get('room')?.take(ready.octets);
      const edited = await perform(editMessage, deps, actorOf(c), {
        id,
        notBefore: scheduledAt === undefined ? undefined : Date.parse(scheduledAt),
        deadline: expiresAt === undefined ? undefined : Date.parse(expiresAt),
        lane,
        content: ready && { recipients: ready.recipients, body: c.get('hold').made(ready.body(), mailbox) },
      });
      return c.json(z.encode(shownMessage, edited), 200);
    },
  );
  const changed = { says: 'as it is now' };
  one(cancelMessage, 'cancelMessage', 'post /v1/messages/{id}/cancel', changed);
  one(retryMessage, 'retryMessage', 'post /v1/messages/{id}/retry', changed);
  one(holdMessage, 'holdMessage', 'post /v1/messages/{id}/hold', changed);
}

/** Neighbours that fit into {@link MERGED_AT_ONCE}; one that is larger goes alone. */
function together(sizes: readonly number[]) {
  const groups: { readonly first: number; end: number; octets: number }[] = [];
  for (const [index, octets] of sizes.entries()) {
    const group = groups.at(-1);
    if (group && group.octets + octets <= MERGED_AT_ONCE) {
      group.end = index + 1;
      group.octets += octets;
    } else groups.push({ first: index, end: index + 1, octets });
  }
  return groups;
}
