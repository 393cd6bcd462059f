/** Commands of our own on a signed-in IMAP connection, one at a time (RFC 9051 §2.2), for the little we ask of a mailbox. */
import { isError } from '../../base/error.ts';
import { protocolError } from '../errors.ts';
import type { Conn } from '../wire/conn.ts';
import { parseResponse, type Response, type ResponseCode } from './response.ts';
import { ResponseAssembly, type ResponseLimits, RESPONSE_LIMITS } from './response-reader.ts';

export interface CommandResult {
  readonly status: 'OK' | 'NO' | 'BAD';
  readonly code: ResponseCode | undefined;
  /** After the status: response code and words. */
  readonly text: string;
  /** What came before the end, in order. */
  readonly responses: readonly Response[];
}

export interface CommandOptions {
  readonly signal?: AbortSignal | undefined;
  /** Sent at the first continuation request (RFC 9051 §4.3); the command must end with its `{n}`. */
  readonly literal?: AsyncIterable<Uint8Array> | undefined;
}

/** Octets of all responses to one command. */
const MAX_OCTETS = 16 * 1024 * 1024;

export class ImapSession {
  readonly #conn: Conn;
  readonly #host: string;
  readonly #limits: ResponseLimits;
  #tag = 0;

  constructor(conn: Conn, host: string, limits: ResponseLimits = RESPONSE_LIMITS) {
    this.#conn = conn;
    this.#host = host;
    this.#limits = limits;
  }

  /**
   * Sends a command and waits for its end.
   * @throws wire.closed when the connection breaks or the server says BYE, wire.syntax, wire.timeout; the signal's reason
   */
  async run(command: string, { literal, signal }: CommandOptions = {}): Promise<CommandResult> {
    const tag = `q${++this.#tag}`;
    const responses: Response[] = [];
    let octets = 0;
    let pending = literal;
    await this.#conn.write(`${tag} ${command}\r\n`);
    for (;;) {
      const { response, size } = await this.#response(signal);
      octets += size;
      if (octets > MAX_OCTETS) throw this.#unexpected('more than was asked for');
      switch (response.type) {
        case 'tagged':
          if (response.tag !== tag) throw this.#unexpected(`the end of ${response.tag}`);
          return { status: response.status, code: response.code, text: response.text, responses };
        case 'continuation':
          if (!pending) throw this.#unexpected('a continuation that nothing waits for');
          for await (const piece of pending) await this.#conn.write(Buffer.from(piece));
          await this.#conn.write('\r\n');
          pending = undefined;
          break;
        case 'status':
          if (response.status === 'BYE')
            throw protocolError('wire.closed', `${this.#host} ended the session: ${response.text.slice(0, 200)}`, {
              detail: { host: this.#host, reply: `BYE ${response.text.slice(0, 1000)}` },
            });
          responses.push(response);
          break;
        default:
          responses.push(response);
      }
    }
  }

  /** LOGOUT, without waiting for the end. */
  end(): void {
    this.#conn.end('q0 LOGOUT\r\n');
  }

  async #response(signal: AbortSignal | undefined): Promise<{ readonly response: Response; readonly size: number }> {
    const assembly = new ResponseAssembly(this.#limits);
    let size = 0;
    try {
      for (;;) {
        const line = await this.#conn.line(this.#limits.line, signal);
        if (line === undefined) throw protocolError('wire.closed', `${this.#host} closed the connection`);
        size += line.length;
        const octets = assembly.line(line);
        if (octets === undefined) return { response: parseResponse(assembly.take()), size };
        size += octets;
        assembly.literal(await this.#conn.counted(octets, signal));
      }
    } catch (error) {
      if (isError(error, 'wire.syntax')) throw this.#unexpected(error.message, error.detail);
      throw error;
    }
  }

  /** @param detail `reply` where the server said something that is no response (Exchange's front end does) */
  #unexpected(what: string, detail: Readonly<Record<string, unknown>> = {}): Error {
    return protocolError('wire.syntax', `${this.#host} does not answer as expected: ${what}`, {
      detail: { ...detail, host: this.#host },
    });
  }
}

/** A string as an IMAP quoted string; what cannot stand in one is left out (RFC 9051 §4.3). */
export function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '').replace(/["\\]/g, String.raw`\$&`)}"`;
}
