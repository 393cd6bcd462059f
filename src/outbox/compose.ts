/** A message put together from its parts, for the outbox and for notices. */
import { mailDate } from '../base/mail-date.ts';
import { addressField, asciiDomain, idField, idsOf, type NamedAddress, textField } from '../protocol/mime/field.ts';
import { type Content, contentPart, writeMessage } from '../protocol/mime/write.ts';
import { newId } from '../store/id.ts';
import { outboxError } from './errors.ts';

/** What a message is composed of. */
export interface Composition extends Content {
  readonly from: NamedAddress;
  readonly to: readonly NamedAddress[];
  readonly cc: readonly NamedAddress[];
  readonly replyTo: readonly NamedAddress[];
  readonly subject: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  /** Missing: one of its own. */
  readonly messageId?: string;
  readonly inReplyTo?: string;
  readonly references?: readonly string[];
}

/** Octets; with the name of the field less than a line may have (RFC 5322 §2.1.1). */
const MAX_ID = 900;

/** Octets of a line without its CRLF (RFC 5322 §2.1.1). */
const MAX_LINE = 998;

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

/** The octets of the message, CRLF throughout, without Bcc. @param at when it is written @throws outbox.header */
export function compose(message: Composition, at = Date.now()): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  const { from, to, cc, replyTo, subject, inReplyTo = '', references = [], headers } = message;
  checkHeaders(headers);
  // One draw of random octets for Message-ID and boundaries, instead of several calls into OpenSSL for each message.
  const unique = newId('m');
  for (const [name, texts] of [
    ['inReplyTo', [inReplyTo]],
    ['references', references],
  ] as const)
    checkIds(name, texts);
  return writeMessage(
    withinLines([
      addressField('From', [from]),
      addressField('To', to),
      addressField('Cc', cc),
      addressField('Reply-To', replyTo),
      textField('Subject', subject),
      `Date: ${mailDate(at)}\r\n`,
      idField('Message-ID', [message.messageId ?? `${unique}@${rightOf(from.address)}`]),
      idField('In-Reply-To', [inReplyTo]),
      idField('References', references),
      ...headers.map(({ name, value }) => textField(name, value.trim())),
    ]),
    contentPart(message, unique),
  );
}

/** @throws outbox.header */
function checkIds(name: string, texts: readonly string[]): void {
  for (const text of texts) {
    const { ids, others } = idsOf(text);
    if (ids.some((id) => id.length > MAX_ID))
      throw outboxError('outbox.header', `a message id in ${name} is too long for a line`);
    if (others.length > 0)
      throw outboxError('outbox.header', `${name} has a message id that is not ASCII, or has a stray angle bracket`, {
        hint: 'leave it out, or give the Message-ID of the message that is answered as it stands in its header',
      });
  }
}

/** What cannot be folded and is not to be encoded, as an address, may make a line too long. @throws outbox.header */
function withinLines(fields: readonly string[]): readonly string[] {
  for (const field of fields)
    if (field.length > MAX_LINE / 3 && field.split('\r\n').some((line) => Buffer.byteLength(line) > MAX_LINE))
      throw outboxError(
        'outbox.header',
        `a line of the header field ${field.slice(0, field.indexOf(':'))} would be longer than ${MAX_LINE} octets`,
      );
  return fields;
}

/** The right side of a Message-ID (RFC 5322 §3.6.4): the sender's domain, unless that is none. */
function rightOf(address: string): string {
  const domain = asciiDomain(address);
  return /^(?:[\w.-]+|\[[\w.:]+\])$/.test(domain) ? domain : 'localhost';
}
