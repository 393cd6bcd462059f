/** Values inside responses (RFC 9051 §9): atoms, numbers, strings, NIL and lists. Every octet is looked at once. */
import { protocolError } from '../errors.ts';
import type { Literal, ResponseSegments } from './response-reader.ts';

/** An atom or number as written; a quoted string or literal; NIL; a list. */
export type Value = string | Literal | null | readonly Value[];

/** A multipart in a multipart in …: servers end far below. */
const MAX_DEPTH = 100;

/** Wider than the grammar's atom: servers put into flags and numbers what they like, and nothing is decided by it. */
const ATOM = /[^() "\x00-\x1f\x7f]+/y;
const SECTION_NAME = /[^ [("]+/y;
const PLAIN = /[^"\\\r\n\0]+/y;
const PARTIAL = /<\d{1,10}>/y;

/** A cursor over the segments of a response. Methods take what they name @throws wire.syntax */
export class ValueReader {
  readonly #segments: ResponseSegments;
  #segment = 0;
  #at: number;

  /** @param at where in the first segment to begin */
  constructor(segments: ResponseSegments, at = 0) {
    this.#segments = segments;
    this.#at = at;
  }

  get atEnd(): boolean {
    return this.#segment === this.#segments.length - 1 && this.#at >= this.#text.length;
  }

  /** Takes one character if it comes next. */
  skip(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at += 1;
    return true;
  }

  expect(char: string): void {
    if (!this.skip(char)) throw this.#wrong(JSON.stringify(char));
  }

  value(depth = 0): Value {
    const literal = this.#literal();
    if (literal) return literal;
    const char = this.#text[this.#at];
    if (char === '"') return this.#quoted();
    if (char === '(') return this.#list(depth);
    const atom = this.#match(ATOM);
    if (atom === '') throw this.#wrong('a value');
    return atom.toUpperCase() === 'NIL' ? null : atom;
  }

  /** The name of a FETCH item in capitals, section and origin as written: `BODY[HEADER.FIELDS (DATE)]<0>`. */
  itemName(): string {
    let name = this.#match(SECTION_NAME).toUpperCase();
    if (name === '') throw this.#wrong('the name of an item');
    if (!this.skip('[')) return name;
    name += '[';
    for (;;) {
      const literal = this.#literal();
      if (literal) name += literal.data?.toString('latin1').toUpperCase() ?? '';
      else if (this.skip(']')) break;
      else if (this.#text[this.#at] === '"') name += this.#quoted().data!.toString('latin1').toUpperCase();
      else {
        const char = this.#text[this.#at];
        if (char === undefined) throw this.#wrong('the end of a section');
        name += char.toUpperCase();
        this.#at += 1;
      }
    }
    return `${name}]${this.#match(PARTIAL)}`;
  }

  #list(depth: number): readonly Value[] {
    if (depth >= MAX_DEPTH) throw this.#wrong(`lists no deeper than ${MAX_DEPTH}`);
    this.expect('(');
    const values: Value[] = [];
    // RFC 9051 writes parts of a body without a space between them, and everything else with one.
    while (!this.skip(')')) {
      values.push(this.value(depth + 1));
      while (this.skip(' '));
    }
    return values;
  }

  #quoted(): Literal {
    this.expect('"');
    const pieces: string[] = [];
    for (;;) {
      pieces.push(this.#match(PLAIN));
      if (this.skip('"')) break;
      if (!this.skip('\\')) throw this.#wrong('a closing quote');
      const char = this.#text[this.#at++];
      if (char !== '"' && char !== '\\') throw this.#wrong('an escaped quote or backslash');
      pieces.push(char);
    }
    const data = Buffer.from(pieces.join(''), 'latin1');
    return { octets: data.length, data };
  }

  #literal(): Literal | undefined {
    if (this.#at < this.#text.length) return undefined;
    const literal = this.#segments[this.#segment + 1];
    if (literal === undefined || typeof literal === 'string') return undefined;
    this.#segment += 2;
    this.#at = 0;
    return literal;
  }

  get #text(): string {
    const segment = this.#segments[this.#segment];
    return typeof segment === 'string' ? segment : '';
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  #wrong(what: string): Error {
    return protocolError('wire.syntax', `expected ${what} in a response`);
  }
}

/** Text of an atom or a string whose octets were kept; undefined for NIL and lists. */
export function textOf(value: Value | undefined): string | undefined {
  if (typeof value === 'string') return value;
  return isString(value) ? value.data?.toString('utf8') : undefined;
}

export function isString(value: Value | undefined): value is Literal {
  return typeof value === 'object' && value !== null && 'octets' in value;
}

export function isList(value: Value | undefined): value is readonly Value[] {
  return Array.isArray(value);
}
