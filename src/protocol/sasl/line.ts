/** How SASL octets travel in IMAP, POP3 and SMTP: one base64 line, `=` for an empty initial response, `*` to cancel. */
import { trimEndOf } from '../../base/text.ts';
import { protocolError } from '../errors.ts';

/**
 * RFC 4648 §4 without line breaks. Padding may be missing: several devices leave it out.
 * @throws sasl.malformed
 */
export function decodeResponse(text: string): Buffer {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || trimEndOf(text, '=').length % 4 === 1)
    throw protocolError('sasl.malformed', 'the sign-in message is not base64');
  return Buffer.from(text, 'base64');
}

/** An initial response as part of a command: `=` is the empty one (RFC 4954 §4, RFC 4959 §3, RFC 5034 §4). @throws sasl.malformed */
export function decodeInitial(text: string): Buffer {
  return text === '=' ? Buffer.alloc(0) : decodeResponse(text);
}

export function encodeResponse(octets: Buffer): string {
  return octets.toString('base64');
}

export function encodeInitial(octets: Buffer): string {
  return octets.length === 0 ? '=' : encodeResponse(octets);
}

/** The client gave up (RFC 4954 §4, RFC 9051 §6.2.2, RFC 5034 §4). */
export const CANCEL = '*';

/** Text of a SASL message: valid UTF-8 without NUL (RFC 4616 §2, RFC 7628 §3.1). @throws sasl.malformed */
export function utf8(octets: Buffer): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets);
  } catch (error) {
    throw protocolError('sasl.malformed', 'the sign-in message is not UTF-8', { cause: error });
  }
  if (text.includes('\0')) throw protocolError('sasl.malformed', 'the sign-in message holds a NUL');
  return text;
}
