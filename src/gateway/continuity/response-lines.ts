/** Shapes of the response lines that matter. */
import type { Answer } from './own-command.ts';

/** Untagged responses with a number (RFC 9051 §7.4, §7.5). */
export const NUMBERED = /^\* (\d{1,10}) (EXISTS|EXPUNGE|RECENT|FETCH)\b/i;
export const STATUS = /^\* (OK|NO|BAD|BYE)\b/i;
/** The answer to a FETCH of ours. */
export const OWN_FETCH = /^\* \d{1,10} FETCH \(UID \d{1,10}\)$/i;
/** A UID with nothing before it in which it could be quoted text. */
export const UID_FIRST =
  /^\* \d+ FETCH \((?:(?:FLAGS|MODSEQ) \([^)]*\) |RFC822\.SIZE \d+ |INTERNALDATE "[^"]*" )*UID (\d{1,10})[ )]/i;

/** A tagged response (RFC 9051 §7.1); of any other line its first word, and three letters more. */
export function answerOf(text: string): { readonly tag: string; readonly status: Answer } {
  const space = text.indexOf(' ');
  const tag = space === -1 ? text : text.slice(0, space);
  const status = text.slice(tag.length + 1, tag.length + 4).trimEnd();
  return { tag, status: status.toUpperCase() as Answer };
}

/** What only an IMAP server says: a tagged status. */
export function isTagged(text: string): boolean {
  return /^[!-~]{1,200} (?:OK|NO|BAD)(?: |$)/i.test(text);
}
