/**
 * The one framer of IMAP, POP3 and SMTP, without I/O: bytes are pushed in, whole frames are taken out.
 *
 * All three protocols are made of three shapes: a *line* ended by CRLF (RFC 9051 §2.2, RFC 1939 §3, RFC 5321 §2.3.8), a
 * *counted* run (IMAP literals, RFC 9051 §4.3) and a *dotted* run ended by a line with one dot (RFC 1939 §3, RFC 5321
 * §4.5.2). However the bytes are cut into chunks, the frames are the same.
 */
import { protocolError } from '../errors.ts';

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
const DOTTED_LINE = Buffer.from('\r\n.');

/** Where in a dotted run the octets stop that came so far. */
type DottedState = 'line-start' | 'dot' | 'dot-cr' | 'text' | 'cr';
const EMPTY = Buffer.alloc(0);

/** The first buffer of our own; most lines before sign-in fit. */
const SMALLEST = 128;

export class Framer {
  /** What was received and not taken. A lone chunk is used as it came; the next one moves both into a buffer of ours. */
  #unread: Buffer = EMPTY;
  /** Our buffer that `#unread` lies in, filled up to `#filled`; it doubles, so that a slow drip costs linear time. */
  #own: Buffer | undefined;
  #filled = 0;
  /** Octets of `#unread` already searched for a line end without finding one. */
  #searched = 0;
  /** Dotted run: what the last bytes taken were, so that a stop across chunks is seen. */
  #dotted: DottedState | undefined;

  /** Bytes received and not yet taken. */
  get size(): number {
    return this.#unread.length;
  }

  /** Octets of memory that this takes: a buffer of ours is up to twice as large as what is in it. */
  get held(): number {
    return this.#own !== undefined && this.#unread.length > 0 ? this.#own.length : this.#unread.length;
  }

  /** How what waits begins; octets as in latin1. */
  start(octets: number): string {
    return this.#unread.toString('latin1', 0, octets);
  }

  /** True when nothing is waiting: the only moment at which a connection may turn to TLS (RFC 3207 §4.2, CVE-2011-0411). */
  get drained(): boolean {
    return this.#unread.length === 0;
  }

  /** Frames handed out before are never written over. */
  push(bytes: Buffer): void {
    const before = this.#unread.length;
    if (before === 0) {
      this.#unread = bytes;
      this.#own = undefined;
      return;
    }
    const size = before + bytes.length;
    if (this.#own === undefined || this.#filled + bytes.length > this.#own.length) {
      this.#own = Buffer.allocUnsafe(Math.max(SMALLEST, size * 2));
      this.#filled = this.#unread.copy(this.#own);
    }
    this.#filled += bytes.copy(this.#own, this.#filled);
    this.#unread = this.#own.subarray(this.#filled - size, this.#filled);
  }

  /** Octets that were taken come first again. */
  putBack(bytes: Buffer): void {
    this.#unread = Buffer.concat([bytes, this.#unread]);
    this.#own = undefined;
    this.#searched = 0;
  }

  /**
   * The next line without its CRLF, or undefined while it is incomplete. Of two offences the one nearer the start is thrown.
   * @param limit most octets before the CRLF.
   * @throws wire.line-too-long, wire.bare-newline (a lone LF, or a CR not followed by LF: RFC 5321 §2.3.8)
   */
  line(limit: number): Buffer | undefined {
    const data = this.#unread;
    if (data.length === 0) return undefined;
    const lf = data.indexOf(LF, this.#searched);
    const end = lf === -1 ? data.length : lf;
    const cr = data.indexOf(CR, Math.max(0, this.#searched - 1));
    if (cr !== -1 && cr < end - 1 && cr <= limit)
      throw protocolError('wire.bare-newline', 'a line holds a CR that is not followed by LF');
    // One more octet may be the CR of a line that just fits.
    if (end > limit + 1) throw tooLong(limit);
    if (lf === -1) {
      this.#searched = data.length;
      return undefined;
    }
    if (lf === 0 || data[lf - 1] !== CR) throw protocolError('wire.bare-newline', 'a line ends in LF without CR');
    this.#keep(lf + 1);
    return data.subarray(0, lf - 1);
  }

  /** Exactly `length` octets, or undefined while they are not all there. */
  counted(length: number): Buffer | undefined {
    const data = this.#unread;
    if (data.length < length) return undefined;
    this.#keep(length);
    return data.subarray(0, length);
  }

  /** Up to `most` octets of what is there now, for passing on long counted runs in pieces; undefined when nothing is. */
  some(most: number): Buffer | undefined {
    const data = this.#unread;
    if (data.length === 0 || most <= 0) return undefined;
    const length = Math.min(data.length, most);
    this.#keep(length);
    return data.subarray(0, length);
  }

  /**
   * The next piece of a dotted run, dots unstuffed. `done` is true with the last piece, which ends before the stop line;
   * undefined while there is nothing to hand out. Only CRLF "." CRLF ends it: a bare LF never does (SMTP smuggling).
   */
  dotted(): { readonly data: Buffer; readonly done: boolean } | undefined {
    const data = this.#unread;
    if (data.length === 0) return undefined;
    const plain = plainLength(data, this.#dotted ?? 'line-start');
    if (plain > 0) {
      const piece = data.subarray(0, plain);
      this.#dotted = stateAfter(piece, this.#dotted);
      this.#keep(plain);
      return { data: piece, done: false };
    }
    const out = Buffer.allocUnsafe(data.length + 2);
    let length = 0;
    let state = this.#dotted ?? 'line-start';
    for (let at = 0; at < data.length; at++) {
      const byte = data[at]!;
      if (state === 'dot-cr') {
        if (byte === LF) {
          this.#dotted = undefined;
          this.#keep(at + 1);
          return { data: out.subarray(0, length), done: true };
        }
        out[length++] = CR; // ".\r" and then something else: it was text after an unstuffed dot
        state = 'text';
      } else if (state === 'line-start' && byte === DOT) {
        state = 'dot';
        continue;
      } else if (state === 'dot' && byte === CR) {
        state = 'dot-cr';
        continue;
      }
      out[length++] = byte;
      state = state === 'cr' && byte === LF ? 'line-start' : byte === CR ? 'cr' : 'text';
    }
    this.#dotted = state;
    this.#keep(data.length);
    return length === 0 ? undefined : { data: out.subarray(0, length), done: false };
  }

  /** Everything that is waiting, for handing a connection over to a byte relay. */
  rest(): Buffer {
    const data = this.#unread;
    this.#keep(data.length);
    return data;
  }

  #keep(from: number): void {
    this.#unread = from < this.#unread.length ? this.#unread.subarray(from) : EMPTY;
    this.#searched = 0;
  }
}

/** How many octets come before the next line that begins with a dot: they pass as they are. */
function plainLength(data: Buffer, state: DottedState): number {
  if (state === 'dot' || state === 'dot-cr') return 0;
  if (state === 'line-start' && data[0] === DOT) return 0;
  if (state === 'cr' && data[0] === LF && (data.length === 1 || data[1] === DOT)) return 0;
  const dotted = data.indexOf(DOTTED_LINE);
  return dotted === -1 ? data.length : dotted + 2;
}

function stateAfter(piece: Buffer, before: DottedState | undefined): DottedState {
  const last = piece.at(-1);
  if (last === CR) return 'cr';
  const beforeLast = piece.length > 1 ? piece.at(-2) : before === 'cr' ? CR : undefined;
  return last === LF && beforeLast === CR ? 'line-start' : 'text';
}

function tooLong(limit: number): Error {
  return protocolError('wire.line-too-long', `a line is longer than ${limit} octets`, { detail: { limit } });
}
