/**
 * Puts the responses of a server together, without I/O (RFC 9051 §2.2.2, §4.3): octets are pushed into a framer in whatever pieces
 * they come, whole responses are taken out. `parseResponse` (response.ts) says what one means.
 */
import { protocolError } from '../errors.ts';
import type { Framer } from '../wire/framer.ts';

/** A counted string of a response. */
export interface Literal {
  readonly octets: number;
  /** Undefined where whoever reads the connection took the octets elsewhere instead of keeping them. */
  readonly data: Buffer | undefined;
}

/** One response: text (one octet per character) and the literals between, in order; text comes first and last. */
export type ResponseSegments = readonly (string | Literal)[];

/** A response as one line, with empty strings for its literals. */
export function lineOf(segments: ResponseSegments): string {
  return segments.map((one) => (typeof one === 'string' ? one : '""')).join('');
}

/** A literal whose octets come next; the response goes on after `keep` or `passed`. */
export interface AnnouncedLiteral {
  readonly octets: number;
  /** The response up to here. */
  readonly head: ResponseSegments;
}

export type Reading =
  | { readonly type: 'response'; readonly segments: ResponseSegments }
  | { readonly type: 'literal'; readonly literal: AnnouncedLiteral };

export interface ResponseLimits {
  /** Most octets of a line. */
  readonly line: number;
  /** Most octets of one literal that is kept. */
  readonly literal: number;
  /** Most octets of one response, literals that are kept included. */
  readonly response: number;
}

/** A FETCH of a long envelope in one line has some 20 kB; the rest is room. */
export const RESPONSE_LIMITS: ResponseLimits = {
  line: 256 * 1024,
  literal: 4 * 1024 * 1024,
  response: 8 * 1024 * 1024,
};

export class ResponseReader {
  readonly #limits: ResponseLimits;
  readonly #hands: boolean;
  #segments: (string | Literal)[] = [];
  #octets = 0;
  /** Octets of the literal that comes next. */
  #literal: number | undefined;
  #kept = false;

  /** @param hands literals are handed out, instead of being kept: the caller decides about each */
  constructor(limits: ResponseLimits = RESPONSE_LIMITS, hands = false) {
    this.#limits = limits;
    this.#hands = hands;
  }

  /** Between two responses: an orderly place for a connection to end. */
  get between(): boolean {
    return this.#segments.length === 0;
  }

  /** Undefined while there is not enough. @throws wire.syntax (over a limit), wire.line-too-long, wire.bare-newline */
  next(framer: Framer): Reading | undefined {
    for (;;) {
      if (this.#literal !== undefined) {
        if (!this.#kept) return this.#handed(this.#literal);
        const data = framer.counted(this.#literal);
        if (data === undefined) return undefined;
        this.#end(data);
      }
      const octets = framer.line(this.#limits.line);
      if (octets === undefined) return undefined;
      if (this.#line(octets)) {
        const segments = this.#segments;
        this.#segments = [];
        this.#octets = 0;
        return { type: 'response', segments };
      }
      if (!this.#hands) this.keep();
    }
  }

  /** The literal becomes part of the response. @throws wire.syntax (over a limit) */
  keep(): void {
    const { literal, response } = this.#limits;
    const octets = this.#literal ?? 0;
    if (octets > literal) throw tooMuch(`a literal of ${octets} octets is more than was asked for`, literal);
    this.#count(octets, response);
    this.#kept = true;
  }

  /** The caller has taken its octets from the framer. */
  passed(): void {
    this.#end(undefined);
  }

  #handed(octets: number): Reading {
    return { type: 'literal', literal: { octets, head: this.#segments } };
  }

  #end(data: Buffer | undefined): void {
    this.#segments.push({ octets: this.#literal ?? 0, data });
    this.#literal = undefined;
    this.#kept = false;
  }

  /** @returns true when the response ends with this line */
  #line(octets: Buffer): boolean {
    const text = octets.toString('latin1');
    this.#count(octets.length, this.#limits.response);
    const literal = announced(text);
    if (literal === undefined || (this.#segments.length === 0 && !mayHoldLiteral(text))) {
      this.#segments.push(text);
      return true;
    }
    this.#segments.push(literal.before);
    this.#literal = literal.octets;
    return false;
  }

  #count(octets: number, limit: number): void {
    this.#octets += octets;
    if (this.#octets > limit) throw tooMuch(`a response has more than ${limit} octets`, limit);
  }
}

function tooMuch(text: string, limit: number): Error {
  return protocolError('wire.syntax', text, { detail: { limit } });
}

/** More digits than a literal of 4 GiB has. */
const MAX_DIGITS = 10;

/** `{n}`, or `~{n}` (RFC 9051 §4.3, literal8), at the end of a line. Looked at from the end, so that long lines cost nothing. */
function announced(line: string): { readonly before: string; readonly octets: number } | undefined {
  if (!line.endsWith('}')) return undefined;
  const open = line.lastIndexOf('{');
  const digits = line.slice(open + 1, -1);
  if (open === -1 || digits.length === 0 || digits.length > MAX_DIGITS || !/^\d+$/.test(digits)) return undefined;
  const before = line.slice(0, open);
  return { before: before.endsWith('~') ? before.slice(0, -1) : before, octets: Number(digits) };
}

const STATUS = /^(?:\+|\S+ (?:OK|NO|BAD|BYE|PREAUTH)(?= |$))/i;

/**
 * The human text of a status response may end like a literal and announces none: only its response code, while it is open, may
 * hold one (RFC 9051 §9, resp-text).
 */
function mayHoldLiteral(line: string): boolean {
  const status = STATUS.exec(line);
  if (!status) return true;
  if (status[0] === '+') return false;
  const rest = line.slice(status[0].length + 1);
  return rest.startsWith('[') && !rest.includes(']');
}
