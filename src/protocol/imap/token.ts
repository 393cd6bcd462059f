/** The tokens of one IMAP command (RFC 3501 §9): atoms, quoted strings, literals, lists. */
import { protocolError } from '../errors.ts';

/** A command as received: text (one octet per character) and the literals between. */
export type Segment = string | Buffer;

const ATOM = /[^(){ %*"\\\]\x00-\x1f\x7f-\xff]+/y;
const ASTRING = /[^(){ %*"\\\x00-\x1f\x7f-\xff]+/y;
const LIST_MAILBOX = /[^(){ "\\\x00-\x1f\x7f-\xff]+/y;
const SET = /[\d*:,]+/y;
const NUMBER = /\d{1,10}/y;
const FLAG = /\\?[^(){ %*"\\\]\x00-\x1f\x7f-\xff]+/y;
const LITERAL = /\{(\d{1,10})(\+?)\}$/;

/** The literal a line announces at its end (RFC 7888: `+` does not wait), and the line without that. */
export function announcedLiteral(
  line: string,
): { readonly text: string; readonly octets: number; readonly waits: boolean } | undefined {
  if (!line.endsWith('}')) return undefined; // nearly all, and asked for every line that passes
  const found = LITERAL.exec(line);
  return found ? { text: line.slice(0, found.index), octets: Number(found[1]), waits: found[2] === '' } : undefined;
}

/** A cursor over one command. Every method takes what it names or throws wire.syntax. */
export class CommandReader {
  readonly #segments: readonly Segment[];
  #segment = 0;
  #at = 0;

  constructor(segments: readonly Segment[]) {
    this.#segments = segments;
  }

  get atEnd(): boolean {
    return (
      this.#segments[this.#segment] === undefined || (this.#segment === this.#segments.length - 1 && this.#rest === '')
    );
  }

  end(): void {
    if (!this.atEnd) throw this.#wrong('the end of the command');
  }

  space(): void {
    if (!this.skip(' ')) throw this.#wrong('a space');
  }

  /** Takes `text` when it comes next, whatever its case. */
  skip(text: string): boolean {
    const here = this.#rest.slice(0, text.length);
    if (here.toUpperCase() !== text.toUpperCase() || here === '') return false;
    this.#at += text.length;
    return true;
  }

  expect(text: string): void {
    if (!this.skip(text)) throw this.#wrong(text);
  }

  peek(): string {
    return this.#rest.slice(0, 1);
  }

  atom(): string {
    return this.#match(ATOM, 'an atom');
  }

  flag(): string {
    return this.#match(FLAG, 'a flag');
  }

  set(): string {
    return this.#match(SET, 'a message set');
  }

  number(): number {
    return Number(this.#match(NUMBER, 'a number'));
  }

  /** Matches a sticky expression at the cursor. */
  matching(pattern: RegExp, what: string): string {
    return this.#match(pattern, what);
  }

  string(): Buffer {
    const literal = this.#literal();
    if (literal) return literal;
    if (this.peek() !== '"') throw this.#wrong('a string');
    const text = this.#rest;
    let out = '';
    for (let at = 1; at < text.length; at++) {
      let char = text[at]!;
      if (char === '"') {
        this.#at += at + 1;
        return Buffer.from(out, 'latin1');
      }
      if (char === '\\') {
        char = text[++at] ?? '';
        if (char !== '"' && char !== '\\') throw this.#wrong('an escaped quote or backslash');
      }
      out += char;
    }
    throw this.#wrong('a closing quote');
  }

  astring(): Buffer {
    if (this.peek() === '"' || this.#literalNext) return this.string();
    return Buffer.from(this.#match(ASTRING, 'a string'), 'latin1');
  }

  /** A mailbox name or pattern of LIST, in which `%` and `*` may stand bare. */
  listMailbox(): string {
    if (this.peek() === '"' || this.#literalNext) return this.string().toString('latin1');
    return this.#match(LIST_MAILBOX, 'a mailbox pattern');
  }

  /** `(item item …)`, possibly empty. */
  list<T>(item: () => T): T[] {
    this.expect('(');
    const items: T[] = [];
    if (this.skip(')')) return items;
    for (;;) {
      items.push(item());
      if (this.skip(')')) return items;
      this.space();
    }
  }

  get #rest(): string {
    const segment = this.#segments[this.#segment];
    return typeof segment === 'string' ? segment.slice(this.#at) : '';
  }

  get #literalNext(): boolean {
    return this.#rest === '' && this.#segments[this.#segment + 1] instanceof Buffer;
  }

  #literal(): Buffer | undefined {
    if (!this.#literalNext) return undefined;
    const literal = this.#segments[this.#segment + 1];
    this.#segment += 2;
    this.#at = 0;
    return literal as Buffer;
  }

  #match(pattern: RegExp, what: string): string {
    const segment = this.#segments[this.#segment];
    pattern.lastIndex = this.#at;
    const found = typeof segment === 'string' ? pattern.exec(segment)?.[0] : undefined;
    if (found === undefined) throw this.#wrong(what);
    this.#at += found.length;
    return found;
  }

  #wrong(what: string): Error {
    return protocolError('wire.syntax', `expected ${what}`);
  }
}

/** For a command of ours: a quoted string, or a literal of what cannot stand in one (RFC 9051 §4.3). Octets of text as UTF-8. */
export function formatAstring(text: string | Buffer): string | { readonly octets: number; readonly data: [Buffer] } {
  const latin1 = typeof text === 'string' ? text : text.toString('latin1');
  if (/^[\x20-\x7e]*$/.test(latin1)) return formatString(latin1);
  const data = typeof text === 'string' ? Buffer.from(text) : text;
  return { octets: data.length, data: [data] };
}

/** Text as a quoted string; what cannot be quoted (8-bit, CR, LF, NUL) becomes a literal. One octet per character. */
export function formatString(text: string): string {
  if (/[\r\n\0\x80-\xff]/.test(text)) return `{${text.length}}\r\n${text}`;
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

export function formatNstring(text: string | undefined): string {
  return text === undefined ? 'NIL' : formatString(text);
}
