/** What the gateway announces in the provider's name: only what the path between program and provider can honour. */
import { capabilityList } from '../protocol/imap/capability-list.ts';
import type { Protocol } from '../store/protocols.ts';

/**
 * The capabilities after an IMAP sign-in (RFC 9051 §7.1). Everything about signing in is over by then; UNAUTHENTICATE (RFC
 * 8437) would take the connection back to a state in which only we can sign in. What keeps state in one session that another
 * one cannot be given (NOTIFY, saved and updated searches, languages, UIDs only) and what changes the bytes of the connection
 * or the grammar (COMPRESS, IMAP4rev2) is hidden, because sessions outlive connections (docs/sessions.md).
 */
export function imapAfterSignIn(provider: readonly string[]): string[] {
  return provider.filter((name) => !isHiddenFromImap(name));
}

/** A response line that announces capabilities, without the hidden ones; any other line as it is. */
export function withoutHidden(line: string): string {
  if (!line.startsWith('* ') && !line.includes('[')) return line; // an ordinary tagged answer
  const list = capabilityList(line);
  if (!list) return line;
  const names = imapAfterSignIn(line.slice(list.from, list.to).split(' '));
  return line.slice(0, list.from) + names.join(' ') + line.slice(list.to);
}

/** Whether a capability is one that is never announced. */
export function isHiddenFromImap(name: string): boolean {
  return IMAP_HIDDEN.test(name);
}

const IMAP_HIDDEN =
  /^(?:STARTTLS|LOGINDISABLED|SASL-IR|AUTH=.*|COMPRESS=.*|IMAP4rev2|UNAUTHENTICATE|LOGIN-REFERRALS|MAILBOX-REFERRALS|NOTIFY|SEARCHRES|CONTEXT=.*|LANGUAGE|I18NLEVEL=2|UIDONLY)$/i;

/**
 * What EHLO (RFC 5321 §4.1.1.1) or CAPA (RFC 2449 §5) may say before sign-in, when nobody knows yet which provider it will
 * be: the lines common to all of them, the smallest SIZE (RFC 1870 §6), nothing about signing in.
 */
export function commonExtensions(
  protocol: Exclude<Protocol, 'imap'>,
  providers: readonly (readonly string[])[],
): string[] {
  const [first, ...others] = providers;
  if (first === undefined) return [];
  const hidden = protocol === 'smtp' ? SMTP_HIDDEN : POP3_HIDDEN;
  const common: string[] = [];
  for (const line of first) {
    if (hidden.test(line)) continue;
    const same = others.map((lines) => lines.find((other) => keyword(other) === keyword(line)));
    if (same.includes(undefined)) continue;
    if (keyword(line) === 'SIZE') common.push(smallestSize([line, ...(same as string[])]));
    else if (same.every((other) => other!.toUpperCase() === line.toUpperCase())) common.push(line);
  }
  return common;
}

/**
 * AUTH and STARTTLS are ours; X… are between a server and its own clients (XCLIENT, XFORWARD, X-EXPS); BINARYMIME cannot be kept
 * where a route has no BDAT.
 */
const SMTP_HIDDEN = /^(?:AUTH\b|STARTTLS\b|BINARYMIME\b|X)/i;
/** SASL, STLS, USER and the response codes are ours; UTF8 and LANG are commands of the state before sign-in (RFC 6856 §2). */
const POP3_HIDDEN = /^(?:SASL|STLS|USER|RESP-CODES|AUTH-RESP-CODE|UTF8|LANG|IMPLEMENTATION|X)/i;

function keyword(line: string): string {
  const space = line.indexOf(' ');
  return (space === -1 ? line : line.slice(0, space)).toUpperCase();
}

/** `SIZE` without a number, or with 0, names no limit. */
function smallestSize(lines: readonly string[]): string {
  const limits = lines.map((line) => Number(line.slice(5).trim())).filter((limit) => limit > 0);
  return limits.length === 0 ? 'SIZE' : `SIZE ${Math.min(...limits)}`;
}
