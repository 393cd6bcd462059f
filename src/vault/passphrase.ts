/**
 * Whether a passphrase is worth the name. Whoever has a copy of the database may guess as long as they like, some ten guesses a
 * second and core through argon2id, so that what people make up in a moment is found. Counted are the characters that
 * do not follow from those before them: a simple rule that people can be told, without a dictionary of its own.
 */

/** Characters that surprise: with 12 of them, even out of lower case letters alone, guessing all takes millions of years. */
const LEAST = 12;
/** Different ones among all. */
const LEAST_DIFFERENT = 8;
/** What fingers do by themselves, in both directions. */
const ROWS = [
  'qwertyuiop',
  'qwertzuiop',
  'azertyuiop',
  'asdfghjkl',
  'zxcvbnm',
  'yxcvbnm',
  '1234567890',
  'abcdefghijklmnopqrstuvwxyz',
];
const NEIGHBOURS: ReadonlySet<string> = new Set(
  ROWS.flatMap((row) =>
    Array.from(row).flatMap((character, at) =>
      row[at + 1] ? [character + row[at + 1]!, row[at + 1]! + character] : [],
    ),
  ),
);
/** The commonest words in passwords; each counts as one character. */
const COMMON = /password|passwort|passphrase|postern|secret|letmein|welcome|iloveyou|dragon|monkey|master|admin|login/g;

/** Why it is too weak, for a person; undefined when it will do. */
export function weaknessOf(passphrase: string): string | undefined {
  const text = Array.from(passphrase.normalize('NFC').toLowerCase().replace(COMMON, '\0'));
  const seen = new Set<string>();
  let surprising = 0;
  for (const [at, character] of text.entries()) {
    const pair = `${text[at - 1] ?? ''}${character}`;
    const triple = `${text[at - 2] ?? ''}${pair}`;
    const follows = text[at - 1] === character || NEIGHBOURS.has(pair) || seen.has(triple);
    if (at >= 2) seen.add(triple);
    if (!follows) surprising += 1;
  }
  if (surprising >= LEAST && new Set(text).size >= LEAST_DIFFERENT) return undefined;
  return surprising < LEAST
    ? `it has ${surprising} characters that do not repeat or follow from others; ${LEAST} are needed`
    : `it has ${new Set(text).size} different characters; ${LEAST_DIFFERENT} are needed`;
}
