/** Messages as Graph takes them: MIME in base64, or JSON that becomes MIME. */
import { mailDate } from '../../base/mail-date.ts';
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { addressField, idField, type NamedAddress, textField } from '../../protocol/mime/field.ts';
import { fieldOf, parseMessage } from '../../protocol/mime/part.ts';
import { contentPart, writeMessage } from '../../protocol/mime/write.ts';
import { addressesOf } from '../mail/submission.ts';
import { refuse } from './refusal.ts';

const recipient = z.object({ emailAddress: z.object({ address: z.string(), name: z.string().optional() }) });
const recipients = z.array(recipient).default([]);

const attachment = z.object({
  '@odata.type': z.literal('#microsoft.graph.fileAttachment'),
  name: z.string(),
  contentType: z.string().optional(),
  contentBytes: z.base64(),
  contentId: z.string().optional(),
  isInline: z.boolean().optional(),
});

/** The parts of Graph's `message` resource that a sender sets. */
export const messageSchema = z.object({
  subject: z.string().default(''),
  body: z
    .object({ contentType: z.string().default('text'), content: z.string() })
    .default({ contentType: 'text', content: '' }),
  from: recipient.optional(),
  sender: recipient.optional(),
  toRecipients: recipients,
  ccRecipients: recipients,
  bccRecipients: recipients,
  replyTo: recipients,
  internetMessageId: z.string().optional(),
  internetMessageHeaders: z.array(z.object({ name: z.string(), value: z.string() })).default([]),
  importance: z.enum(['low', 'normal', 'high']).default('normal'),
  attachments: z.array(attachment).default([]),
});

export type GraphMessage = z.infer<typeof messageSchema>;
type Recipient = z.infer<typeof recipient>;

export interface FileAttachment {
  readonly id: string;
  readonly name: string;
  readonly contentType: string;
  readonly content: Buffer;
  readonly contentId?: string | undefined;
  readonly isInline?: boolean | undefined;
}

/** @throws sandbox.graph 400 */
export function readJson<T>(schema: z.ZodType<T>, value: unknown): T {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const { path, message } = read.error.issues[0]!;
  throw refuse(400, 'ErrorInvalidRequest', `The value of '${path.join('.')}' is not valid: ${message}`);
}

/** @throws sandbox.graph 400 */
export function readMime(body: Buffer): Buffer {
  const text = body.toString('latin1').replaceAll(/\s+/g, '');
  if (text === '' || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text))
    throw refuse(400, 'ErrorMimeContentInvalidBase64String', 'Invalid base64 string for MIME content.');
  return withCrlf(Buffer.from(text, 'base64'));
}

/** A message in MIME: what was said, with what Exchange adds where it is missing. */
export async function compose(
  message: GraphMessage,
  attachments: readonly FileAttachment[],
  sender: string,
  now: number,
): Promise<Buffer> {
  const isHtml = message.body.contentType.toLowerCase() === 'html';
  for (const { name } of message.internetMessageHeaders)
    if (!/^x-/i.test(name))
      throw refuse(
        400,
        'InvalidInternetMessageHeader',
        `The internet message header name '${name}' should start with 'x-' or 'X-'.`,
      );
  const to = (all: readonly Recipient[]): readonly NamedAddress[] => all.map((each) => nameAndAddress(each));
  const urgency = { low: '5 (Lowest)', normal: '', high: '1 (Highest)' }[message.importance];
  const fields = [
    addressField('From', message.from ? to([message.from]) : [{ name: '', address: sender }]),
    addressField('Sender', message.sender ? to([message.sender]) : []),
    addressField('To', to(message.toRecipients)),
    addressField('Cc', to(message.ccRecipients)),
    addressField('Bcc', to(message.bccRecipients)),
    addressField('Reply-To', to(message.replyTo)),
    textField('Subject', message.subject),
    `Date: ${mailDate(now)}\r\n`,
    idField('Message-ID', [message.internetMessageId ?? `${randomUUID()}@contoso.test`]),
    ...(urgency === '' ? [] : [textField('X-Priority', urgency), textField('Importance', message.importance)]),
    ...message.internetMessageHeaders.map(({ name, value }) => textField(name, value)),
  ];
  const content = {
    [isHtml ? 'html' : 'text']: message.body.content,
    attachments: [
      ...message.attachments.map((each) => ({ ...each, content: Buffer.from(each.contentBytes, 'base64') })),
      ...attachments,
    ].map(({ name, contentType = 'application/octet-stream', content: octets, contentId }) => ({
      filename: name,
      contentType,
      content: octets,
      ...(contentId === undefined ? {} : { cid: contentId }),
    })),
  };
  const pieces: Uint8Array[] = [];
  for await (const piece of writeMessage(fields, contentPart(content, randomUUID()))) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** What Exchange puts into a message that lacks it. */
export function complete(raw: Buffer, sender: string, now: number, newId: string): Buffer {
  const message = parseMessage(raw);
  const missing = [
    ...(fieldOf(message, 'from') === undefined ? [`From: ${sender}`] : []),
    ...(fieldOf(message, 'date') === undefined ? [`Date: ${mailDate(now)}`] : []),
    ...(fieldOf(message, 'message-id') === undefined ? [`Message-ID: <${newId}@contoso.test>`] : []),
  ];
  return missing.length === 0 ? raw : Buffer.concat([Buffer.from(`${missing.join('\r\n')}\r\n`), raw]);
}

export interface Addressed {
  readonly recipients: readonly string[];
  /** Without Bcc. */
  readonly raw: Buffer;
}

/** Whom a message is for, by its header, and what they get. @throws sandbox.graph 400 */
export function address(raw: Buffer): Addressed {
  const message = parseMessage(raw);
  const recipients = [...new Set(['to', 'cc', 'bcc'].flatMap((field) => addressesOf(message, field)))];
  if (recipients.length === 0)
    throw refuse(
      400,
      'ErrorInvalidRecipients',
      'At least one recipient is not valid., Recipient is required to send the message.',
    );
  const pieces: Buffer[] = [];
  let from = 0;
  for (const field of message.fields.filter(({ name }) => name === 'bcc')) {
    pieces.push(raw.subarray(from, field.start));
    from = field.end;
  }
  return { recipients, raw: Buffer.concat([...pieces, raw.subarray(from)]) };
}

const nameAndAddress = ({ emailAddress }: Recipient): NamedAddress => ({
  name: emailAddress.name ?? '',
  address: emailAddress.address,
});

function withCrlf(raw: Buffer): Buffer {
  const text = raw.toString('latin1');
  return /(?<!\r)\n|\r(?!\n)/.test(text) ? Buffer.from(text.replaceAll(/\r\n|\r|\n/g, '\r\n'), 'latin1') : raw;
}
