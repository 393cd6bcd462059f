/**
 * Puts the responses of a server together, without I/O: lines and counted literals go in, whole responses come out (RFC 9051
 * §2.2.2, §4.3). However the octets are cut, the responses are the same. `parseResponse` (response.ts) says what one means.
 */
import { protocolError } from '../errors.ts';
import { Framer } from '../wire/framer.ts';

/** A counted string of a response. */
export interface Literal {
  readonly octets: number;
  /** Undefined where whoever reads the connection passed the octets on instead of keeping them. */
  readonly data: Buffer | undefined;
}

/** One response: text (one octet per character) and the literals between, in order; text comes first and last. */
export type ResponseSegments = readonly (string | Literal)[];

export interface ResponseLimits {
  /** Most octets of a line. */
  readonly line: number;
  /** Most octets of one literal. */
  readonly literal: number;
  /** Most octets of one response, literals included. */
  readonly response: number;
}

/** A FETCH of a long envelope in one line has some 20 kB; the rest is room. */
export const RESPONSE_LIMITS: ResponseLimits = {
  line: 256 * 1024,
  literal: 4 * 1024 * 1024,
  response: 8 * 1024 * 1024,
};

/** For whoever reads lines and counted runs from a connection of its own. */
export class ResponseAssembly {
  readonly #limits: ResponseLimits;
  #segments: (string | Literal)[] = [];
  #octets = 0;
  #announced: number | undefined;

  constructor(limits: ResponseLimits = RESPONSE_LIMITS) {
    this.#limits = limits;
  }

  /** Between two responses. */
  get empty(): boolean {
    return this.#segments.length === 0;
  }

  /**
   * Takes the next line, without CRLF. Gives the octets of the literal that has to come next; undefined: the response is whole.
   * @throws wire.syntax (more than the limits allow)
   */
  line(octets: Buffer): number | undefined {
    const text = octets.toString('latin1');
    this.#count(octets.length);
    const literal = announced(text);
    if (literal === undefined || (this.#segments.length === 0 && !mayHoldLiteral(text))) {
      this.#segments.push(text);
      return undefined;
    }
    if (literal.octets > this.#limits.literal)
      throw protocolError('wire.syntax', `a literal of ${literal.octets} octets is more than was asked for`, {
        detail: { octets: literal.octets, limit: this.#limits.literal },
      });
    this.#segments.push(literal.before);
    this.#announced = literal.octets;
    return literal.octets;
  }

  /** The literal that `line` announced; `undefined`: its octets went elsewhere. @throws wire.syntax (too much) */
  literal(data: Buffer | undefined): void {
    const octets = this.#announced ?? 0;
    this.#announced = undefined;
    if (data !== undefined) this.#count(octets);
    this.#segments.push({ octets, data });
  }

  /** The response that is whole now; the next one begins. */
  take(): ResponseSegments {
    const segments = this.#segments;
    this.#segments = [];
    this.#octets = 0;
    return segments;
  }

  #count(octets: number): void {
    this.#octets += octets;
    if (this.#octets > this.#limits.response)
      throw protocolError('wire.syntax', `a response has more than ${this.#limits.response} octets`, {
        detail: { limit: this.#limits.response },
      });
  }
}

/** The same over octets as they arrive. */
export class ResponseReader {
  readonly #limits: ResponseLimits;
  readonly #framer = new Framer();
  readonly #assembly: ResponseAssembly;
  #literal: number | undefined;

  constructor(limits: ResponseLimits = RESPONSE_LIMITS) {
    this.#limits = limits;
    this.#assembly = new ResponseAssembly(limits);
  }

  push(octets: Buffer): void {
    this.#framer.push(octets);
  }

  /** True when no part of a response is waiting: an orderly place for a connection to end. */
  get drained(): boolean {
    return this.#framer.drained && this.#assembly.empty;
  }

  /** The next whole response; undefined while it is incomplete. @throws wire.syntax, wire.line-too-long, wire.bare-newline */
  next(): ResponseSegments | undefined {
    for (;;) {
      if (this.#literal !== undefined) {
        const data = this.#framer.counted(this.#literal);
        if (data === undefined) return undefined;
        this.#literal = undefined;
        this.#assembly.literal(data);
      }
      const line = this.#framer.line(this.#limits.line);
      if (line === undefined) return undefined;
      this.#literal = this.#assembly.line(line);
      if (this.#literal === undefined) return this.#assembly.take();
    }
  }
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
