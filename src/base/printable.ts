/**
 * Text of others as it may be shown: a user name, a mail server's words or a subject can hold sequences that move the cursor of a
 * terminal, rewrite what is above, or turn the direction of the text, so that a line says something else than it does.
 */

/** C0 and C1 controls, DEL, and what changes direction or hides (Unicode TR 36 §2.5, CVE-2021-42574). */
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
const CONTROLS_OF_LINES =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** One value within a line: controls as `\\u001b`, line breaks as well. */
export function printable(text: string): string {
  return text.replace(CONTROLS, escaped);
}

/** Whole lines of ours: line breaks and tabs stay, CR LF becomes LF. */
export function printableLines(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(CONTROLS_OF_LINES, escaped);
}

/** JSON that is the same value and shows no controls: those that JSON leaves as they are are escaped in its own way. */
export function printableJson(json: string): string {
  return json.replace(CONTROLS_OF_LINES, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
