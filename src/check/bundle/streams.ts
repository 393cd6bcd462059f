/**
 * Reading a text as the octets that are written in it, whatever stands between them: escapes of single characters, numbers,
 * memory dumps and base64 in short pieces. Each octet keeps its place, so that what is found is masked where it stands. Linear.
 */

export interface Stream {
  /** One character for each octet. */
  readonly text: string;
  /** Where each begins and ends in the text that was read. */
  readonly from: readonly number[];
  readonly to: readonly number[];
}

const PERCENT = '%(?:25){0,3}(?:[uU]00)?(H{2})';
const ESCAPED = escapes([
  PERCENT,
  // Before the shorter ones; only its capital tells it from four digits with others behind them.
  '\\\\U0{4}(?:00)?(H{2})',
  '\\\\(?:[uU]\\{0*(H{1,6})\\}|[uUxX](?:00)?(H{2}))',
  '[uU]\\+0{0,6}(H{2})(?!H)(?: (?=[uU]\\+))?',
  '&#[xX]0*(H{1,6});?',
  '=(H{2})',
  // Octal and decimal.
  '\\\\([0-3][0-7]{2})',
  '&#0*(\\d{1,7});?',
  // What breaks a line or a word stands for nothing that could belong to a secret.
  '\\\\[abefnrtv]',
]);
const PERCENT_ALONE = escapes([PERCENT]);

function escapes(kinds: readonly string[]): RegExp {
  return new RegExp(kinds.join('|').replaceAll('H', '[0-9a-fA-F]'), 'g');
}

const BASES = [16, 16, 16, 16, 16, 16, 16, 8, 10];
const LINE_END = 10;

/** With every escape as the character it stands for, also where only some are written so; and of addresses those alone. */
export function escapeStreams(text: string): readonly Stream[] {
  const percent = unescaped(text, PERCENT_ALONE);
  const all = unescaped(text, ESCAPED);
  // An escape may be written in escapes of addresses itself: &#5%31;
  return [all, percent?.text === all?.text ? undefined : percent].filter((one) => one !== undefined);
}

function unescaped(text: string, pattern: RegExp): Stream | undefined {
  const pieces: string[] = [];
  const from: number[] = [];
  const to: number[] = [];
  let at = 0;
  const copy = (end: number): void => {
    pieces.push(text.slice(at, end));
    for (; at < end; at++) {
      from.push(at);
      to.push(at + 1);
    }
  };
  for (const { 0: whole, index, ...groups } of text.matchAll(pattern)) {
    const code = BASES.map((base, n) => Number.parseInt(groups[n + 1] ?? '', base));
    copy(index);
    pieces.push(String.fromCharCode((code.find((one) => !Number.isNaN(one)) ?? LINE_END) & 0xffff));
    from.push(index);
    to.push(index + whole.length);
    at = index + whole.length;
  }
  if (pieces.length === 0) return undefined;
  copy(text.length);
  return { text: pieces.join(''), from, to };
}

/** What may stand between two numbers: an indentation, brackets, the index of a typed array. */
const MAX_BETWEEN = 200;
/** No secret is shorter. */
const LEAST = 8;
const HEX = /^(?:0x)?[0-9a-f]+$/i;
/** `00000010  34 77 …  |4w…|` of hexdump -C, `00000010: 3477 …  4w…` of xxd, `0x7fff0010 <key+16>:\t0x34\t0x77` of gdb. */
const DUMP = /^[ \t>]{0,40}(?:0x)?[0-9a-f]{4,16}(?: <[^>\n]{1,80}>)?:?[ \t]{1,4}(?=(?:0x)?[0-9a-f]{2,16}(?:[ \t]|$))/i;
const DIGITS_IN_LINE = 32;
/** Something may be joined to the last. */
const NUMBERS = /\d+|[a-z]+/gi;

/** Octets in hexadecimal and in decimal. Of a dump the whole lines are taken, since they show the characters as well. */
export function* numberStreams(text: string): Iterable<Stream> {
  const { bare, lines } = withoutDumpColumns(text);
  const readings = function* (from: string): Iterable<Stream> {
    yield* runs(from, octetsOfHex);
    yield* runs(from, octetsOfWords);
    yield* digitRuns(from);
  };
  if (bare !== text)
    for (const run of readings(bare)) yield { ...run, from: run.from.map(lines.start), to: run.to.map(lines.end) };
  yield* readings(text);
  yield* runs(text, (word) => (/^\d{1,3}$/.test(word) && Number(word) < 256 ? [Number(word)] : undefined), NUMBERS);
  yield* runs(text, octetsOfOctal, NUMBERS);
}

function octetsOfHex(word: string): Iterable<number> | undefined {
  const digits = bareDigits(word).padStart(2, '0');
  return HEX.test(word) && digits.length % 2 === 0 ? Buffer.from(digits, 'hex') : undefined;
}

/** Words of 16, 32 or 64 bits as most machines keep them, the last octet first (`hexdump`, `od -x`, `xxd -e`, `x/8xw` of gdb). */
function octetsOfWords(word: string): Iterable<number> | undefined {
  const digits = bareDigits(word);
  return HEX.test(word) && [4, 8, 16].includes(digits.length) ? Buffer.from(digits, 'hex').reverse() : undefined;
}

function bareDigits(word: string): string {
  return /^0x/i.test(word) ? word.slice(2) : word;
}

/** `od -b`, with the offset that begins its lines. */
function octetsOfOctal(word: string): Iterable<number> | undefined {
  if (/^[0-7]{7,11}$/.test(word)) return [];
  return /^0?[0-3]?[0-7]{2}$/.test(word) ? [Number.parseInt(word, 8)] : undefined;
}

/** Hexadecimal that was broken anywhere: digit after digit, from each of the two places in a pair. */
function digitRuns(text: string): Stream[] {
  const found: Stream[] = [];
  let places: number[] = [];
  let count = 0;
  let last = 0;
  const end = (): void => {
    if (count > 1 && places.length >= 2 * LEAST)
      for (const skip of [0, 1]) {
        const digits = places.slice(skip, skip + 2 * Math.floor((places.length - skip) / 2));
        const octets = Buffer.from(digits.map((at) => text[at]).join(''), 'hex');
        found.push({
          text: octets.toString('latin1'),
          from: digits.filter((_, n) => n % 2 === 0),
          to: digits.filter((_, n) => n % 2 === 1).map((at) => at + 1),
        });
      }
    places = [];
    count = 0;
  };
  for (const { 0: word, index } of text.matchAll(/[0-9a-f]+|[g-z]+/gi)) {
    if (!HEX.test(word) || index - last > MAX_BETWEEN) end();
    last = index + word.length;
    if (!HEX.test(word)) continue;
    for (let at = index; at < last; at++) places.push(at);
    count += 1;
  }
  end();
  return found;
}

function runs(text: string, octetsOf: (word: string) => Iterable<number> | undefined, words = /[0-9a-z]+/gi): Stream[] {
  const found: Stream[] = [];
  let run = { codes: [] as number[], from: [] as number[], to: [] as number[] };
  let last = 0;
  const end = (): void => {
    if (run.codes.length >= LEAST)
      found.push({ text: Buffer.from(run.codes).toString('latin1'), from: run.from, to: run.to });
    run = { codes: [], from: [], to: [] };
  };
  for (const { 0: word, index } of text.matchAll(words)) {
    const after = index + word.length;
    // The index of a typed array in JSON.
    if (text[index - 1] === '"' && text[after] === '"' && text[after + 1] === ':' && /^\d+$/.test(word)) continue;
    const octets = octetsOf(word);
    if (octets === undefined || index - last > MAX_BETWEEN) end();
    for (const octet of octets ?? []) {
      run.codes.push(octet);
      run.from.push(index);
      run.to.push(after);
    }
    last = after;
  }
  end();
  return found;
}

function withoutDumpColumns(text: string) {
  const starts = new Map<number, number>();
  let at = 0;
  let any = false;
  const lines = text.split('\n').map((line) => {
    const begin = at;
    at += line.length + 1;
    const offset = DUMP.exec(line)?.[0].length;
    if (offset === undefined) return line;
    any = true;
    let digits = 0;
    let end = offset;
    for (const { 0: word, index } of line.slice(offset).matchAll(/[0-9a-z]+/gi)) {
      const count = bareDigits(word).length;
      if (!HEX.test(word) || digits + count > DIGITS_IN_LINE || index + offset > end + 3) break;
      digits += count;
      end = offset + index + word.length;
    }
    for (let place = begin; place <= begin + line.length; place++) starts.set(place, begin);
    return `${' '.repeat(offset)}${line.slice(offset, end)}${' '.repeat(line.length - end)}`;
  });
  const lineEnd = (place: number): number => {
    const end = text.indexOf('\n', place);
    return end === -1 ? text.length : end;
  };
  return {
    bare: any ? lines.join('\n') : text,
    lines: {
      start: (place: number): number => starts.get(place) ?? place,
      end: (place: number): number => (starts.has(place) ? lineEnd(place) : place),
    },
  };
}

const PIECE = /[A-Za-z0-9+/_-]+/g;
/** Between two pieces of base64: a line end, as it is or as text, with an indentation. */
const BETWEEN = /^(?:[=\s>]|\\[rn]){1,40}$/;

/** What base64 in short pieces stands for, read from each of the four places in a group. */
export function* pieceStreams(text: string): Iterable<Stream> {
  let places: number[] = [];
  let count = 0;
  let last = 0;
  for (const { 0: piece, index } of text.matchAll(PIECE)) {
    if (index - last > 40 || !BETWEEN.test(text.slice(last, index))) {
      if (count > 1) for (const skip of [0, 1, 2, 3]) yield decoded(text, places.slice(skip));
      places = [];
      count = 0;
    }
    for (let at = index; at < index + piece.length; at++) places.push(at);
    count += 1;
    last = index + piece.length;
  }
  if (count > 1) for (const skip of [0, 1, 2, 3]) yield decoded(text, places.slice(skip));
}

function decoded(text: string, places: readonly number[]): Stream {
  const octets = Buffer.from(places.map((at) => text[at]).join(''), 'base64');
  const from: number[] = [];
  const to: number[] = [];
  for (let n = 0; n < octets.length; n++) {
    from.push(places[Math.floor((n * 4) / 3)]!);
    to.push((places[Math.floor((n * 4) / 3) + 1] ?? places.at(-1)!) + 1);
  }
  return { text: octets.toString('latin1'), from, to };
}
