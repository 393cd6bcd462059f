/** A message put together from its parts: RFC 5322 header and MIME tree by nodemailer, octets as they are needed. */
import type { Attachment, Composition } from './composition.ts';
import MailComposer from 'nodemailer/lib/mail-composer';
import type MimeNode from 'nodemailer/lib/mime-node';
import * as base64 from 'nodemailer/lib/base64';
import * as quotedPrintable from 'nodemailer/lib/qp';
import { composePlain } from './compose-plain.ts';
import { newId } from '../store/id.ts';
import { outboxError } from './errors.ts';

/** Fields that follow from something else, or that would make the message another one than was checked. */
const OURS = new Set(
  (
    'from sender to cc bcc reply-to subject date message-id in-reply-to references mime-version content-type ' +
    'content-transfer-encoding content-disposition content-id return-path received dkim-signature idempotency-key'
  ).split(' '),
);

/**
 * Checks header fields that the caller names. @throws outbox.header
 */
export function checkHeaders(headers: Composition['headers']): void {
  for (const { name, value } of headers) {
    if (!/^[\x21-\x39\x3b-\x7e]{1,76}$/.test(name))
      throw outboxError('outbox.header', `${JSON.stringify(name.slice(0, 60))} is no name of a header field`);
    if (OURS.has(name.toLowerCase()))
      throw outboxError('outbox.header', `the header field ${name} cannot be given here`, {
        hint: 'it has a field of its own in the request, or follows from the others',
      });
    if (/[\r\n\0]/.test(value)) throw outboxError('outbox.header', `the header field ${name} has a line break`);
  }
}

/** The octets of the message, CRLF throughout, without Bcc. @throws outbox.header */
export function compose(message: Composition): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  checkHeaders(message.headers);
  // One draw of random octets for Message-ID and boundaries, instead of several calls into OpenSSL for each message.
  const unique = newId('m');
  const domain = message.from.address.slice(message.from.address.lastIndexOf('@') + 1);
  // Without it nodemailer makes one, also for a domain that has to be encoded.
  const messageId = /^[\w.-]+$/.test(domain) ? `<${unique}@${domain}>` : undefined;
  const plain = messageId && composePlain(message, crlf(message.text ?? ''), messageId, Date.now());
  return plain ? [plain] : composeMime(message, unique, messageId);
}

/** By the library, whatever it is. Exported for the test that holds both against each other. */
export function composeMime(
  message: Composition,
  unique: string,
  messageId: string | undefined,
): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  const { from, to, cc, replyTo, subject, text, html, inReplyTo, references } = message;
  const later = new Map<unknown, AsyncIterable<Uint8Array>>();
  const root = new MailComposer({
    baseBoundary: unique,
    ...(messageId === undefined ? {} : { messageId }),
    from,
    to: [...to],
    cc: [...cc],
    replyTo: [...replyTo],
    subject,
    inReplyTo,
    ...(references === undefined ? {} : { references: [...references] }),
    ...(text === undefined && html !== undefined ? {} : { text: crlf(text ?? '') }),
    ...(html === undefined ? {} : { html: crlf(html) }),
    headers: message.headers.map(({ name, value }) => ({ key: name, value })),
    attachments: message.attachments.map((attachment) => attached(attachment, later)),
    // Content comes by value only: nothing of the request may name a file or an address to read from.
    disableFileAccess: true,
    disableUrlAccess: true,
  }).compile();
  if (later.size > 0) return stream(root, later);
  const pieces: Buffer[] = [];
  for (const piece of piecesOf(root, later)) if (Buffer.isBuffer(piece)) pieces.push(piece);
  return [Buffer.concat(pieces)];
}

function attached(attachment: Attachment, later: Map<unknown, AsyncIterable<Uint8Array>>) {
  const { filename, contentType, content, cid } = attachment;
  const isMessage = /^message\//i.test(contentType);
  const facts = {
    filename,
    // RFC 2046 §5.2.1 forbids to encode message/rfc822, so what others made goes as octets of no known kind.
    contentType: isMessage ? 'application/octet-stream' : contentType,
    contentTransferEncoding: 'base64',
    ...(cid === undefined ? {} : { cid }),
  };
  if (content instanceof Uint8Array) return { ...facts, content: Buffer.from(content) };
  // Stands for the octets until their turn comes.
  const marker = Buffer.from('later');
  later.set(marker, content);
  return { ...facts, content: marker };
}

/** Octets, or what stands for octets that are read now. */
type Piece = Buffer | { readonly later: AsyncIterable<Uint8Array> };

function* piecesOf(node: MimeNode, later: ReadonlyMap<unknown, AsyncIterable<Uint8Array>>): Generator<Piece> {
  const header = node.buildHeaders();
  yield Buffer.from(`${header}\r\n\r\n`);
  const { content } = node;
  const source = later.get(content);
  if (source) yield { later: source };
  else if (typeof content === 'string' || Buffer.isBuffer(content)) yield encoded(content, node.getTransferEncoding());
  if (node.multipart === false || node.multipart === undefined) return;
  for (const child of node.childNodes) {
    yield Buffer.from(`\r\n--${String(node.boundary)}\r\n`);
    yield* piecesOf(child, later);
  }
  yield Buffer.from(`\r\n--${String(node.boundary)}--\r\n`);
}

function encoded(content: string | Buffer, encoding: string | false): Buffer {
  if (encoding === 'base64') return Buffer.from(base64.wrap(base64.encode(content)));
  if (encoding === 'quoted-printable') return Buffer.from(quotedPrintable.wrap(quotedPrintable.encode(content)));
  return Buffer.from(content);
}

async function* stream(
  root: MimeNode,
  later: ReadonlyMap<unknown, AsyncIterable<Uint8Array>>,
): AsyncGenerator<Uint8Array> {
  for (const piece of piecesOf(root, later)) {
    if (Buffer.isBuffer(piece)) yield piece;
    else yield* base64Lines(piece.later);
  }
}

/** RFC 2045 §6.8. */
const LINE_CHARACTERS = 76;
const LINE_OCTETS = 57;

async function* base64Lines(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const octets of source) {
    const all = rest.length === 0 ? Buffer.from(octets) : Buffer.concat([rest, octets]);
    const whole = all.length - (all.length % LINE_OCTETS);
    rest = all.subarray(whole);
    if (whole > 0) yield lines(all.subarray(0, whole));
  }
  if (rest.length > 0) yield lines(rest);
}

/** Base64 in lines. Copied in one buffer: a string for each line would be garbage by the million. */
function lines(octets: Buffer): Buffer {
  const encoded = Buffer.from(octets.toString('base64'), 'latin1');
  const out = Buffer.allocUnsafe(encoded.length + 2 * Math.ceil(encoded.length / LINE_CHARACTERS));
  let to = 0;
  for (let from = 0; from < encoded.length; from += LINE_CHARACTERS) {
    to += encoded.copy(out, to, from, from + LINE_CHARACTERS);
    to += out.write('\r\n', to, 'latin1');
  }
  return out;
}

function crlf(text: string): string {
  return text.replace(/\r\n?|\n/g, '\r\n');
}
