/** What a message looks like on its way in and out. */
import { z } from '@hono/zod-openapi';
import { address, text, time } from '../../admin/schema.ts';
import type { MessageState, OutboxMessage } from '../../store/types-outbox.ts';
import { iso, isoOrNull } from './schema.ts';

/** Octets of a JSON body; nothing in it is longer. */
export const MAX_JSON = 10 * 1024 * 1024;

// No space may follow the class but behind an equals sign: two ways to take the same run are as many steps as its square.
const base64 = text(MAX_JSON)
  .regex(/^[A-Za-z0-9+/\s]*(?:={1,2}\s*)?$/, 'is not base64')
  .openapi({ format: 'byte', description: 'base64' });
const header = text(10_000);
/** Further fields of a message; each is looked at several times, and nobody needs more. */
const MAX_HEADERS = 100;
const mediaType = text(200)
  .regex(/^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(?:\s*;\s*[\w-]+=(?:[\w.+-]+|"[^"\r\n]*"))*$/, 'is not a media type')
  .openapi({ example: 'application/pdf' });
const filename = text(255, 1).openapi({ example: 'invoice.pdf' });
const cid = text(200)
  .regex(/^[\w.+@-]+$/, 'letters, digits and . + @ _ -')
  .openapi({ description: 'shown in the HTML as cid:…' });

export const addressInput = z
  .union([text(2000), z.object({ name: text(500).default(''), address })])
  .openapi({ description: 'an address, "Name <address>", or both apart', example: 'Zoë <zoe@example.com>' });
export const addressList = z
  .union([addressInput, z.array(addressInput).max(1000)])
  .openapi({ description: 'one or several', example: ['bob@example.com'] });
export const attachmentInput = z.union([
  z.strictObject({
    filename,
    contentType: mediaType.default('application/octet-stream'),
    content: base64,
    cid: cid.optional(),
  }),
  z.strictObject({
    upload: text(60).openapi({ description: 'id of POST /v1/uploads' }),
    filename: filename.optional(),
    contentType: mediaType.optional(),
    cid: cid.optional(),
  }),
]);
export const templateUse = z.strictObject({
  name: text(100),
  version: z.int().min(1).optional().openapi({ description: 'missing: the newest' }),
  data: z.record(z.string(), z.unknown()).default({}),
});

/** The content of a message. */
export const contentShape = {
  to: addressList.optional(),
  cc: addressList.optional(),
  bcc: addressList.optional(),
  replyTo: addressList.optional(),
  subject: header.optional(),
  text: text(MAX_JSON).optional(),
  html: text(MAX_JSON).optional(),
  template: templateUse.optional().openapi({ description: 'instead of subject, text and html' }),
  attachments: z.array(attachmentInput).max(100).default([]),
  headers: z
    .record(text(76), header)
    .refine((fields) => Object.keys(fields).length <= MAX_HEADERS, `at most ${MAX_HEADERS} fields`)
    .default({})
    .openapi({
      description: `further header fields, at most ${MAX_HEADERS}`,
      maxProperties: MAX_HEADERS,
      example: { 'X-Order': '4711' },
    }),
  inReplyTo: header.optional().openapi({ description: 'Message-ID of the message this one answers' }),
  references: z.array(header).max(100).optional(),
};
export const lane = z.enum(['normal', 'urgent']).openapi({ description: 'urgent ones of a mailbox go first' });
export const sendShape = {
  mailbox: address.optional().openapi({ description: 'whose permission sends it; missing: found by the sender' }),
  scheduledAt: time.optional().openapi({ description: 'not before' }),
  expiresAt: time.optional().openapi({ description: 'given up after; missing: two days after it may first go' }),
  lane: lane.default('normal'),
};
export const messageInput = z.strictObject({ from: addressInput, ...contentShape, ...sendShape }).openapi('NewMessage');
export type MessageInput = z.infer<typeof messageInput>;
export const contentInput = z.strictObject({ from: addressInput.optional(), ...contentShape }).openapi('Content');
export type ContentInput = z.infer<typeof contentInput>;

const stateSchema = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('queued'), dueAt: time }),
    z.object({
      type: z.literal('sending'),
      until: time.meta({ description: 'when the attempt is taken for lost' }),
    }),
    z.object({ type: z.literal('held'), since: time, reason: z.string() }),
    z.object({ type: z.literal('sent'), at: time }),
    z.object({ type: z.literal('failed'), at: time, code: z.string(), reason: z.string() }),
    z.object({ type: z.literal('cancelled'), at: time }),
  ])
  .openapi('MessageState');
export const STATES = ['queued', 'sending', 'held', 'sent', 'failed', 'cancelled'] as const;

export const messageSchema = z
  .object({
    id: z.string().openapi({ example: 'msg_06b1v7c4n2hvr3q8f9t5x0w2ka' }),
    mailbox: z.string(),
    source: z.enum(['smtp', 'http', 'sendmail', 'device', 'report']),
    principal: z.string().openapi({ description: 'who handed it over: id of an API key or app password' }),
    from: z.string().openapi({ description: 'of the envelope' }),
    recipients: z.array(
      z.object({
        address: z.string(),
        state: z.enum(['pending', 'delivered', 'refused']),
        reply: z.string().optional().openapi({ description: 'the last words of the server about this recipient' }),
        mayHaveArrived: z.string().optional().openapi({
          description:
            'an attempt for this recipient ended without an answer, for this reason: it may have arrived although state is pending or refused, and may arrive twice',
        }),
      }),
    ),
    messageId: z.string().openapi({ description: 'Message-ID of the header' }),
    size: z.int().openapi({ description: 'octets' }),
    lane,
    state: stateSchema,
    attempts: z.int(),
    createdAt: time,
    expiresAt: time,
    finishedAt: time.nullable(),
  })
  .openapi('Message');

export function shownMessage(message: OutboxMessage) {
  const { id, mailbox, source, principal, envelopeFrom, messageId, size, lane, attempts } = message;
  return {
    id,
    mailbox,
    source,
    principal,
    from: envelopeFrom,
    recipients: message.recipients.map(({ address, state, reply, mayHaveArrived }) => ({
      address,
      state,
      ...(reply === undefined ? {} : { reply }),
      ...(mayHaveArrived === undefined ? {} : { mayHaveArrived }),
    })),
    messageId,
    size,
    lane,
    state: shownState(message.state),
    attempts,
    createdAt: iso(message.createdAt),
    expiresAt: iso(message.deadline),
    finishedAt: isoOrNull(message.finishedAt),
  };
}

function shownState(state: MessageState) {
  switch (state.type) {
    case 'queued':
      return { type: state.type, dueAt: iso(state.nextAt) };
    case 'sending':
      return { type: state.type, until: iso(state.until) };
    case 'held':
      return { type: state.type, since: iso(state.since), reason: state.reason };
    case 'failed':
      return { type: state.type, at: iso(state.at), code: state.code, reason: state.reason };
    case 'sent':
    case 'cancelled':
      return { type: state.type, at: iso(state.at) };
  }
}
