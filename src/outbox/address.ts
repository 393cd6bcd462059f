/** Addresses of the envelope: RFC 5321 §4.1.2, with UTF-8 as RFC 6531 §3.3 allows. */
import { foldCase } from '../base/case.ts';
import { outboxError } from './errors.ts';

/**
 * RFC 5321 §4.5.3.1.3 less the angle brackets; octets. The 64 octets of §4.5.3.1.1 are what everybody has to take, not the most that
 * may occur: addresses to which GitHub and Asana take replies have more.
 */
const MAX_PATH = 254;

const ATEXT = String.raw`[A-Za-z0-9!#$%&'*+/=?^_\x60{|}~\u0080-\u{10ffff}-]`;
const DOT_STRING = new RegExp(String.raw`^${ATEXT}+(?:\.${ATEXT}+)*$`, 'u');
const QUOTED = /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\u{10ffff}]|\\[\x20-\x7e])*"$/u;
const LABEL = String.raw`[A-Za-z0-9\u0080-\u{10ffff}](?:[A-Za-z0-9\u0080-\u{10ffff}-]{0,61}[A-Za-z0-9\u0080-\u{10ffff}])?`;
const DOMAIN = new RegExp(String.raw`^${LABEL}(?:\.${LABEL})*$`, 'u');
const LITERAL = /^\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]$/;

/** What nearly all are, recognised at once: ASCII, unquoted, every part within its bounds. */
const PLAIN =
  /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,30}(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,15}){0,2}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,40}[A-Za-z0-9])?\.){0,3}[A-Za-z0-9](?:[A-Za-z0-9-]{0,20}[A-Za-z0-9])?$/;

/**
 * What no address has, though RFC 6531 §3.3 allows every character above ASCII: control characters (C1 too, which some terminals
 * obey), invisible and direction marks, spaces and line separators, halves of a character and what stands for unreadable octets.
 */
const UNSEEN = /\p{Cc}|\p{Cf}|\p{Cs}|(?! )\p{Z}|\ufffd/u;

/** True for an address that may stand in MAIL or RCPT. Never true with a control character, space outside quotes or bracket. */
export function isAddress(text: string): boolean {
  if (PLAIN.test(text)) return true;
  if (Buffer.byteLength(text) > MAX_PATH || UNSEEN.test(text)) return false;
  const at = text.lastIndexOf('@');
  if (at < 1) return false;
  const local = text.slice(0, at);
  const domain = text.slice(at + 1);

  return (DOT_STRING.test(local) || QUOTED.test(local)) && (DOMAIN.test(domain) || LITERAL.test(domain));
}

/** @throws outbox.address */
export function checkAddress(text: string): void {
  if (!isAddress(text)) throw noAddress(text);
}

export function noAddress(text: string): Error {
  const short = shown(text);
  return outboxError('outbox.address', `${short === '' ? 'an empty text' : short} is not an address mail can go to`, {
    detail: { address: short },
  });
}

/** What somebody gave for an address, as far as it can be shown. */
export function shown(text: string): string {
  return text
    .slice(0, 400)
    .replace(/[^\x21-\x7e]+/g, ' ')
    .slice(0, 100);
}

/** RFC 6531 §3.4: whether sending needs SMTPUTF8. */
export function needsUtf8(address: string): boolean {
  // oxlint-disable-next-line no-control-regex -- all of ASCII is meant
  return /[^\x00-\x7f]/.test(address);
}

/** Two addresses that are the same to everybody in practice; only the domain's case is free by the letter (RFC 5321 §2.4). */
export function sameAddress(a: string, b: string): boolean {
  return foldCase(a) === foldCase(b);
}
