/** Shapes of the response lines that matter. */

/** Untagged responses with a number (RFC 9051 §7.4, §7.5). */
export const NUMBERED = /^\* (\d{1,10}) (EXISTS|EXPUNGE|RECENT|FETCH)\b/i;
export const STATUS = /^\* (OK|NO|BAD|BYE)\b/i;
/** The answer to a FETCH of ours. */
export const OWN_FETCH = /^\* \d{1,10} FETCH \(UID \d{1,10}\)$/i;
/** A UID with nothing before it in which it could be quoted text. */
export const UID_FIRST =
  /^\* \d+ FETCH \((?:(?:FLAGS|MODSEQ) \([^)]*\) |RFC822\.SIZE \d+ |INTERNALDATE "[^"]*" )*UID (\d{1,10})[ )]/i;
