/**
 * Finding secrets of which only a keyed hash is kept (app passwords, API keys), however they are joined to other characters,
 * grouped or broken: wherever so many characters of their alphabet follow each other, whatever stands between them.
 */
import type { Span } from './known-values.ts';

/** Letters and digits of an app password, and of an API key behind its prefix. */
const LENGTHS = [26, 32] as const;
const LONGEST = 32;
/** Tries of a text: some seconds. Beyond them only the shape tells. */
const MAX_TRIES = 1_000_000;
/** Signs in a row between two characters: a line end, an escape or an indentation. */
const MAX_BETWEEN = 16;

/**
 * @param isOne whether these 26 or 32 characters, in lower case, are one
 * @param mostBetween how many signs in a row may stand between two characters
 */
export function hashedFinder(
  isOne: (word: string) => boolean,
  mostBetween = MAX_BETWEEN,
): (text: string) => readonly Span[] {
  return (text) => {
    const spans: Span[] = [];
    let word = '';
    let places: number[] = [];
    let between = 0;
    let tries = 0;
    const forget = (): void => {
      word = '';
      places = [];
    };
    for (let at = 0; at < text.length; at++) {
      const sign = text[at]!;
      if (!/[a-z0-9]/i.test(sign)) {
        if (++between > mostBetween) forget();
        continue;
      }
      between = 0;
      const letter = sign.toLowerCase();
      if ('ilou'.includes(letter)) {
        forget();
        continue;
      }
      word += letter;
      places.push(at);
      for (const length of LENGTHS) {
        if (word.length < length || tries >= MAX_TRIES) continue;
        const tail = word.slice(-length);
        // Hashes are hexadecimal, numbers have no letters.
        if (!/[g-z]/.test(tail) || !/\d/.test(tail)) continue;
        tries += 1;
        if (!isOne(tail)) continue;
        spans.push({ from: places[places.length - length]!, to: at + 1 });
        forget();
      }
      if (word.length >= 4 * LONGEST) {
        word = word.slice(-LONGEST);
        places = places.slice(-LONGEST);
      }
    }
    return spans;
  };
}
