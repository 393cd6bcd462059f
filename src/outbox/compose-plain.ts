/**
 * Most messages that programs send are a short ASCII text to a few addresses. Those need no encoding and no MIME tree, and the
 * library takes a quarter of all that accepting one costs: here they are written down, octet for octet as it would.
 */
import { mailDate } from '../base/mail-date.ts';
import type { Composition, NamedAddress } from './composition.ts';

/** Characters; the library may fold a line of the header that is longer, and encodes a text with lines above 76. */
const LINE = 72;
/** No star over lines: the engine keeps its way back for each, and a text of ten megabytes has too many. */
const UNPLAIN_TEXT = /[^\t\r\n\x20-\x7e]|[^\r\n]{77}/;
/** Nothing in it that is quoted, folded, encoded or taken for encoded. */
const PLAIN_WORDS = /^[\w!#-'*+,./:;<>@()[\]{}-]+(?: [\w!#-'*+,./:;<>@()[\]{}-]+)*$/;
const PLAIN_NAME = /^(?:\w+(?: \w+)*)?$/;
const PLAIN_ADDRESS = /^[\w.+-]+@[a-z0-9.-]+$/;

/** @param text with CRLF @returns undefined for what is not so plain, which the library composes */
export function composePlain(message: Composition, text: string, messageId: string, now: number): Buffer | undefined {
  const { from, to, cc, replyTo, subject, html, inReplyTo, references, attachments, headers } = message;
  const others = replyTo.length + attachments.length + headers.length;
  if (html !== undefined || inReplyTo !== undefined || references !== undefined || others > 0) return undefined;
  if (text === '' || UNPLAIN_TEXT.test(text) || !PLAIN_WORDS.test(subject)) return undefined;
  if (![from, ...to, ...cc].every(isPlain)) return undefined;
  const lines = [`From: ${list([from])}`];
  if (to.length > 0) lines.push(`To: ${list(to)}`);
  if (cc.length > 0) lines.push(`Cc: ${list(cc)}`);
  lines.push(`Subject: ${subject}`, `Message-ID: ${messageId}`);
  if (lines.some((line) => line.length > LINE)) return undefined;
  lines.push(
    'Content-Transfer-Encoding: 7bit',
    `Date: ${mailDate(now)}`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
  );
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${text}`, 'latin1');
}

function isPlain({ name, address }: NamedAddress): boolean {
  return PLAIN_NAME.test(name) && PLAIN_ADDRESS.test(address);
}

function list(all: readonly NamedAddress[]): string {
  return all.map(({ name, address }) => (name === '' ? address : `${name} <${address}>`)).join(', ');
}
