/** Our own commands on an IMAP connection, one at a time (RFC 9051 §2.2). What each verb says and means is in `verb/`. */
import { isError } from '../../base/error.ts';
import { hungUp, unexpected } from '../bearer-sign-in.ts';
import { protocolError } from '../errors.ts';
import type { Conn } from '../wire/conn.ts';
import { parseResponse, type Response, type ResponseCode } from './response.ts';
import {
  type AnnouncedLiteral,
  lineOf,
  type ResponseLimits,
  ResponseReader,
  type ResponseSegments,
  RESPONSE_LIMITS,
} from './response-reader.ts';

/** A string that is sent with its length before it (RFC 9051 §4.3). */
export interface OutgoingLiteral {
  readonly octets: number;
  readonly data: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/** Text without tag and CRLF, with the literals that stand in it. */
export type CommandText = string | readonly (string | OutgoingLiteral)[];

export interface CommandResult {
  readonly status: 'OK' | 'NO' | 'BAD';
  readonly code: ResponseCode | undefined;
  /** After the status: response code and words. */
  readonly text: string;
  /** What came before the end, in order; nothing where `untagged` took it. */
  readonly responses: readonly Response[];
}

export interface CommandOptions {
  readonly signal?: AbortSignal | undefined;
  /** Takes each response as it comes, instead of having all collected. */
  untagged?(response: Response, segments: ResponseSegments): void;
  /** Takes a literal as it comes, to its end or not; undefined has it kept. */
  literal?(literal: AnnouncedLiteral): ((octets: AsyncIterable<Buffer>) => Promise<void>) | undefined;
  /** Answers continuation requests after the last literal: SASL. */
  challenged?(text: string): string;
}

export interface SessionOptions {
  /** Of the server, for the words of failures. */
  readonly host: string;
  /** Begins our tags. */
  readonly prefix?: string;
  readonly limits?: SessionLimits;
}

export interface SessionLimits extends ResponseLimits {
  /** Most octets that are collected for one command. */
  readonly command: number;
  /** Most responses to one command. */
  readonly responses: number;
}

export const SESSION_LIMITS: SessionLimits = {
  ...RESPONSE_LIMITS,
  command: 16 * 1024 * 1024,
  responses: Number.POSITIVE_INFINITY,
};

const CRLF_OCTETS = 2;

export class ImapSession {
  readonly host: string;
  readonly #conn: Conn;
  readonly #prefix: string;
  readonly #limits: SessionLimits;
  readonly #reader: ResponseReader;
  readonly #needs: number;
  #tag = 0;

  constructor(conn: Conn, { host, prefix = 'q', limits = SESSION_LIMITS }: SessionOptions) {
    this.#conn = conn;
    this.host = host;
    this.#prefix = prefix;
    this.#limits = limits;
    this.#reader = new ResponseReader(limits, true);
    this.#needs = Math.max(limits.line + CRLF_OCTETS, limits.literal);
  }

  /** What the server says before anything is asked (RFC 9051 §7.1). @throws wire.closed (BYE), wire.syntax, the signal's reason */
  async greeting(signal?: AbortSignal): Promise<Extract<Response, { type: 'status' }>> {
    const { response, segments } = await this.#next({ signal });
    if (response.type !== 'status' || response.status !== 'OK') throw unexpected(this.host, lineOf(segments));
    return response;
  }

  /**
   * Sends a command and waits for its end.
   * @throws wire.closed when the connection breaks or the server says BYE, wire.syntax, wire.timeout; the signal's reason
   */
  async run(command: CommandText, options: CommandOptions = {}): Promise<CommandResult> {
    const tag = `${this.#prefix}${++this.#tag}`;
    const responses: Response[] = [];
    const parts = typeof command === 'string' ? [command] : [...command];
    let [octets, count] = [0, 0];
    let pending = await this.#send(`${tag} `, parts);
    for (;;) {
      const { response, segments } = await this.#next(options);
      if (response.type === 'tagged') {
        if (response.tag !== tag) throw unexpected(this.host, lineOf(segments));
        return { status: response.status, code: response.code, text: response.text, responses };
      }
      if (response.type === 'continuation') {
        if (pending !== undefined) {
          for await (const piece of pending.data) await this.#conn.write(Buffer.from(piece));
          pending = await this.#send('', parts);
        } else if (options.challenged) await this.#conn.writeInPieces(`${options.challenged(response.text)}\r\n`);
        else throw unexpected(this.host, lineOf(segments));
        continue;
      }
      if (++count > this.#limits.responses) throw unexpected(this.host, 'more than was asked for');
      if (options.untagged) {
        options.untagged(response, segments);
        continue;
      }
      octets += sizeOf(segments);
      if (octets > this.#limits.command) throw unexpected(this.host, 'more than was asked for');
      responses.push(response);
    }
  }

  /** LOGOUT, without waiting for the end. */
  end(): void {
    this.#conn.end(`${this.#prefix}0 LOGOUT\r\n`);
  }

  /** Sends up to the next literal, or to the end. @returns that literal, which the server has to ask for */
  async #send(text: string, parts: (string | OutgoingLiteral)[]): Promise<OutgoingLiteral | undefined> {
    let out = text;
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      if (typeof part === 'string') out += part;
      else {
        await this.#conn.writeInPieces(`${out}{${part.octets}}\r\n`);
        return part;
      }
    }
    await this.#conn.writeInPieces(`${out}\r\n`);
    return undefined;
  }

  async #next({
    signal,
    literal: take,
  }: CommandOptions): Promise<{ readonly response: Response; readonly segments: ResponseSegments }> {
    const reader = this.#reader;
    try {
      for (;;) {
        const reading = await this.#conn.frame((framer) => reader.next(framer), this.#needs, signal);
        if (reading === undefined) throw protocolError('wire.closed', `${this.host} closed the connection`);
        if (reading.type === 'literal') {
          const sink = take?.(reading.literal);
          if (sink === undefined) reader.keep();
          else {
            const octets = this.#conn.stream(reading.literal.octets, signal);
            await sink(octets);
            for await (const _ of octets);
            reader.passed();
          }
          continue;
        }
        const { segments } = reading;
        const response = parseResponse(segments);
        if (response.type === 'status' && response.status === 'BYE')
          throw hungUp(this.host, `BYE ${response.text.slice(0, 1000)}`);
        return { response, segments };
      }
    } catch (error) {
      if (!isError(error, 'wire.syntax')) throw error;
      // What is no response at all is kept as the reply: Exchange's front end answers so.
      const reply = error.detail['reply'];
      throw unexpected(this.host, typeof reply === 'string' ? reply : error.message);
    }
  }
}

function sizeOf(segments: ResponseSegments): number {
  return segments.reduce((sum, one) => sum + (typeof one === 'string' ? one.length : one.octets), 0);
}
