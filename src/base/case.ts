/**
 * Letter case where it decides something. Some characters beyond ASCII become ASCII letters in the other case (U+212A, the Kelvin sign, is
 * a `k` in lower case; U+017F an `S` in upper case): to other programs they are other characters, and so they are here.
 */

/** In capitals as protocols have it: only letters of ASCII have two forms. */
export function asciiUpper(text: string): string {
  return text.replace(/[a-z]+/g, (letters) => letters.toUpperCase());
}

const BEYOND_ASCII = /[^\0-\x7f]/;

/** An address, or a part of one, in lower case: `JÜRGEN@X.TEST` is `jürgen@x.test`; no character beyond ASCII becomes one of ASCII. */
export function foldCase(text: string): string {
  if (!BEYOND_ASCII.test(text)) return text.toLowerCase();
  return text.replace(/[^\0-\x7f]|[A-Z]+/g, (part) => {
    const lower = part.toLowerCase();
    return BEYOND_ASCII.test(part) && /[\0-\x7f]/.test(lower) ? part : lower;
  });
}
