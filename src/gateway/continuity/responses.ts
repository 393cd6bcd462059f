/**
 * The server's side of an IMAP session as it passes: the few lines that matter are looked at whole, everything else (message
 * data, lists, literals) goes by as the chunks it came in. No I/O, no copies on the bulk path.
 */
import { isLoneLine, textOf } from './lines.ts';
import { answerOf } from '../../protocol/imap/response.ts';
import { Unfinished } from './unfinished.ts';

export interface ResponseSink {
  /** FETCH responses are wanted line by line too. */
  readonly fetches: boolean;
  /** LIST responses are. */
  readonly lists: boolean;
  /** Whether this line is the answer to a command of the client, and nothing else. */
  answers(line: Buffer): boolean;
  /** One line that matters, without CRLF, one octet per character. Gives what the client is to get instead: itself, other text, or nothing. */
  line(text: string): string | undefined;
  /** A line that should matter is too long to be looked at: from here on the session cannot be followed. */
  lost(): void;
}

const LF = 0x0a;
const SPACE = 0x20;
const STAR = 0x2a;
const PLUS = 0x2b;
const OPENING_BRACKET = 0x5b;
const CLOSING_BRACE = 0x7d;

/** COPYUID and VANISHED name sets of any length; Exchange's own commands end at 10 KiB. */
const MAX_HELD = 256 * 1024;
/** `{4294967295}` and CR: as much of a line's end as an announced literal needs. */
const TAIL = 14;

/** Untagged responses that matter, by their word; numbered ones are told by the word after the number. */
const WORDS: ReadonlySet<string> = new Set(['OK', 'NO', 'BAD', 'BYE', 'CAPABILITY', 'ENABLED', 'FLAGS', 'VANISHED']);
const LONGEST_WORD = 10;
/** Octets of the star, a space and a number, more than any has (RFC 9051 §9). */
const MAX_NUMBER = 24;

export class ResponseFilter {
  readonly #sink: ResponseSink;
  /** Octets of a literal that are still to come. */
  #literal = 0;
  /** Inside a line that passes, whose end has not come. */
  #inLine = false;
  /** The last octets of that line: a literal may be announced across two chunks. */
  #tail = '';
  /** The beginning of a line that matters, or may. */
  readonly #held = new Unfinished();
  /** What is held is sure to matter: nothing needs to be looked at before the line's end. */
  #certain = false;
  /** What passes of the chunk at hand has not left yet. */
  #scanning = false;
  /** Lines of ours that wait for the end of a response. */
  #inserts: string[] = [];
  /** Octets of these. */
  waiting = 0;
  /** Something of an answer has passed since the last tagged line. */
  within = false;
  /** The only line of the chunk at hand, which passes as it is: the sink sees it when it has been passed on. */
  #later: Buffer | undefined;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** True when the client has whole responses only: the one moment at which a line of ours may be put in. */
  get between(): boolean {
    return this.#literal === 0 && !this.#inLine;
  }

  /** Puts lines of ours (each with CRLF) where they do not cut a response in two. @returns what may leave at once */
  insert(text: string): string {
    if (this.between && !this.#scanning) return text;
    this.#inserts.push(text);
    this.waiting += text.length;
    return '';
  }

  /** Another server speaks from now on. Only to be called between responses. @returns the unfinished line of the last one */
  restart(): Buffer {
    return this.#held.take();
  }

  /** What `push` gave has been passed on; to be called after each, while the chunk is still there, before anything else. */
  passed(): void {
    const line = this.#later;
    if (line === undefined) return;
    this.#later = undefined;
    this.#sink.line(textOf(line, 0, line.length - 1));
  }

  /** @returns what the client gets: in most cases the very same buffer */
  push(bytes: Buffer): Buffer {
    if (this.#literal >= bytes.length) {
      this.#literal -= bytes.length;
      return bytes;
    }
    if (this.#passesAsItIs(bytes)) {
      this.#later = bytes;
      this.within = false;
      return bytes;
    }
    this.#scanning = true;
    const out = this.#scan(bytes);
    this.#scanning = false;
    return out;
  }

  /** An answer to the client, and nothing else: without a bracket there is no capability to hide in it. */
  #passesAsItIs(bytes: Buffer): boolean {
    const first = bytes[0];
    return (
      first !== STAR &&
      first !== PLUS &&
      this.between &&
      this.#held.length === 0 &&
      this.#inserts.length === 0 &&
      isLoneLine(bytes, OPENING_BRACKET) &&
      this.#sink.answers(bytes)
    );
  }

  #scan(bytes: Buffer): Buffer {
    if (this.#certain && this.#held.length > 0 && this.#held.length + bytes.length <= MAX_HELD && !bytes.includes(LF)) {
      this.#held.add(bytes);
      return bytes.subarray(bytes.length);
    }
    const data = this.#held.length === 0 ? bytes : this.#held.takeWith(bytes);
    const end = data.length;
    const out: Buffer[] = [];
    /** Start of what passes and is not in `out` yet. */
    let from = 0;
    let at = 0;
    while (at < end) {
      if (this.#literal > 0) {
        const octets = Math.min(this.#literal, end - at);
        this.#literal -= octets;
        at += octets;
        continue;
      }
      const lf = data.indexOf(LF, at);
      if (!this.#inLine) {
        const matters = this.#matters(data, at, lf);
        if (matters !== 'no') {
          if (lf === -1) {
            if (end - at <= MAX_HELD) {
              this.#held.add(data.subarray(at));
              this.#certain = matters !== 'unsure';
              out.push(data.subarray(from, at));
              from = end;
              break;
            }
            if (matters !== 'fetch') this.#sink.lost();
          } else {
            const text = textOf(data, at, lf);
            const instead = this.#sink.line(text);
            if (matters === 'fetch' || text.startsWith('*')) this.within ||= instead !== undefined;
            else if (answerOf(text) !== undefined) this.within = false;
            if (instead !== text) {
              out.push(data.subarray(from, at));
              if (instead !== undefined) out.push(Buffer.from(`${instead}\r\n`, 'latin1'));
              from = lf + 1;
            } else if (matters === 'fetch') {
              this.#endOfLine(data, lf);
            }
            at = lf + 1;
            if (this.#inserts.length > 0 && this.between) from = this.#flush(out, data, from, at);
            continue;
          }
        }
      }
      this.within = true;
      if (lf === -1) {
        this.#inLine = true;
        this.#tail = (this.#tail + data.toString('latin1', Math.max(at, end - TAIL), end)).slice(-TAIL);
        break;
      }
      this.#endOfLine(data, lf, at);
      at = lf + 1;
      if (this.#inserts.length > 0 && this.between) from = this.#flush(out, data, from, at);
    }
    if (out.length === 0) return from === 0 ? data : data.subarray(from);
    out.push(data.subarray(from));
    return Buffer.concat(out);
  }

  #flush(out: Buffer[], data: Buffer, from: number, at: number): number {
    out.push(data.subarray(from, at), Buffer.from(this.#inserts.join(''), 'latin1'));
    this.#inserts = [];
    this.waiting = 0;
    return at;
  }

  /** Notes the literal that a passing line announces at its end, or that the response is over (RFC 9051 §4.3). */
  #endOfLine(data: Buffer, lf: number, start = 0): void {
    const last = lf - 2;
    let text: string | undefined;
    if (last - TAIL >= start) {
      if (data[last] === CLOSING_BRACE) text = data.toString('latin1', last - TAIL, lf);
    } else text = this.#tail + data.toString('latin1', Math.max(start, last - TAIL), lf);
    const octets = text === undefined ? undefined : /\{(\d{1,10})\}\r$/.exec(text)?.[1];
    this.#tail = '';
    this.#inLine = octets !== undefined;
    this.#literal = octets === undefined ? 0 : Number(octets);
  }

  /** Whether the line at `at` must be seen whole; `unsure` while too little of it is there. `lf` is its end, -1 when not there. */
  #matters(data: Buffer, at: number, lf: number): 'yes' | 'fetch' | 'no' | 'unsure' {
    if (data[at] !== STAR) return 'yes'; // tagged, a continuation request, or nothing known
    const end = lf === -1 ? data.length : lf;
    const unsure = lf === -1 ? 'unsure' : 'no';
    if (at + 1 < end && data[at + 1] !== SPACE) return 'yes'; // not IMAP
    let word = at + 2;
    if (word >= end) return lf === -1 ? 'unsure' : 'yes';
    if (isDigit(data[word]!)) {
      while (word < end && isDigit(data[word]!)) word += 1;
      if (word - at > MAX_NUMBER) return 'yes'; // no number of IMAP's, and not to be counted again with each piece
      if (word + 1 >= end) return unsure;
      const letter = data[word + 1]! | SPACE;
      if (letter === LETTER_F) return this.#sink.fetches ? 'fetch' : 'no';
      return letter === LETTER_E || letter === LETTER_R ? 'yes' : 'no';
    }
    let stop = word;
    while (stop < end && data[stop]! > SPACE && stop - word <= LONGEST_WORD) stop += 1;
    if (stop === end && lf === -1) return 'unsure';
    const name = data.toString('latin1', word, stop).toUpperCase();
    if (name === 'LIST' && this.#sink.lists) return 'fetch';
    return WORDS.has(name) ? 'yes' : 'no';
  }
}

const LETTER_E = 0x65;
const LETTER_F = 0x66;
const LETTER_R = 0x72;

function isDigit(octet: number): boolean {
  return octet >= 0x30 && octet <= 0x39;
}
