/** What a message looks like on its way in. */
import { z } from '@hono/zod-openapi';
import { address, text, time } from '../../admin/schema.ts';
import { lane } from '../../admin/shown-message.ts';
import { asError } from '../../base/error.ts';
import { isAddress } from '../../outbox/address.ts';
import { readAddresses } from '../../outbox/header-addresses.ts';

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

const readable = (text: string, context: z.core.$RefinementCtx): void => {
  try {
    if (!isAddress(text)) readAddresses(text);
  } catch (error) {
    const failure = asError(error);
    context.addIssue({ code: 'custom', message: failure.message, params: { failure } });
  }
};

export const addressInput = z
  .union([
    text(2000).superRefine(readable),
    z.object({ name: text(500).default(''), address: address.superRefine(readable) }),
  ])
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

export const STATES = ['queued', 'sending', 'held', 'sent', 'failed', 'cancelled'] as const;
