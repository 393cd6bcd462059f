/** What stands between the characters of a secret that was broken, grouped or joined: one idea of it for every search. */

/**
 * Escapes of JSON, programs, addresses, HTML and terminals. Their letters and digits belong to the escape, not to the word
 * beside them.
 */
const ESCAPE =
  /\\u\{[0-9a-f]{1,6}\}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\[0-3][0-7]{2}|\\[abefnrtv0]|%(?:25){0,3}[0-9a-f]{2}|&(?:#x?[0-9a-f]{1,8}|[a-z]{2,6});/gi;
/** ECMA-48 §8.3.117, with the escape character as it is or blanked. */
const COLOUR = /[\x1b ]\[[0-9;]{0,12}m/g;

/** The text with a space for each character of an escape: of the same length, so that places stay. */
export function withoutEscapes(text: string): string {
  const blank = (found: string): string => ' '.repeat(found.length);
  return text.replace(ESCAPE, blank).replace(COLOUR, blank);
}
