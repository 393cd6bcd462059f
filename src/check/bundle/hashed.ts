/**
 * Finding secrets of which only a keyed hash is kept (app passwords, API keys), however they are joined to other characters,
 * grouped or broken: wherever so many characters of their alphabet follow each other, whatever stands between them.
 */
import { merged, type Span } from './known-values.ts';
import { withoutEscapes } from './separators.ts';

export const APP_PASSWORD_LENGTH = 26;
/** Of an app password, and of an API key behind its prefix. */
const LENGTHS = [APP_PASSWORD_LENGTH, 32] as const;
/** Signs in a row between two characters: a line end, an escape, quotes and an indentation, however deep. */
const MAX_BETWEEN = 200;

/**
 * @param isOne whether these 26 or 32 characters, in lower case, are one; undefined where that was not looked up: they count as one
 * @param mostBetween how many signs in a row may stand between two characters
 */
export function hashedFinder(
  isOne: (word: string) => boolean | undefined,
  mostBetween = MAX_BETWEEN,
): (text: string) => readonly Span[] {
  /** Tries every place of a run of letters that only signs stand between. */
  const lookInRun = (run: string, places: readonly number[], spans: Span[]): void => {
    let fresh = 0;
    for (let end = LENGTHS[0]; end <= run.length; end++) {
      for (const length of LENGTHS) {
        if (end - fresh < length) continue;
        const word = run.slice(end - length, end);
        // Hashes are hexadecimal, numbers have no letters.
        if (!/[g-z]/.test(word) || !/\d/.test(word)) continue;
        const found = isOne(word);
        if (found === false) continue;
        const from = places[end - length]!;
        const to = places[end - 1]! + 1;
        // What was not looked up may begin anywhere: all of it goes, as one.
        const last = spans.at(-1);
        if (last && from < last.to) spans[spans.length - 1] = { from: Math.min(from, last.from), to };
        else spans.push({ from, to });
        if (found) fresh = end;
      }
    }
  };
  const look = (text: string): Span[] => {
    const spans: Span[] = [];
    let run: string[] = [];
    let places: number[] = [];
    let between = 0;
    const end = (): void => {
      if (run.length >= LENGTHS[0]) lookInRun(run.join(''), places, spans);
      run = [];
      places = [];
    };
    for (let at = 0; at < text.length; at++) {
      const sign = text[at]!;
      if (!/[a-z0-9]/i.test(sign)) {
        if (++between > mostBetween) end();
        continue;
      }
      between = 0;
      const letter = sign.toLowerCase();
      if ('ilou'.includes(letter)) {
        end();
        continue;
      }
      run.push(letter);
      places.push(at);
    }
    end();
    return spans;
  };
  return (text) => {
    const words = withoutEscapes(text);
    return merged(words === text ? look(text) : [...look(text), ...look(words)]);
  };
}
