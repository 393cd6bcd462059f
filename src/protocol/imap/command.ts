/** Commands of our own on a signed-in IMAP connection, one at a time (RFC 9051 §2.2), for the little we ask of a mailbox. */
import { protocolError } from '../errors.ts';
import type { Conn } from '../wire/conn.ts';

export interface CommandResult {
  readonly status: 'OK' | 'NO' | 'BAD';
  /** After the status: response code and words. */
  readonly text: string;
  /** Untagged responses without `* `; literals stand in them as their octets (UTF-8). */
  readonly untagged: readonly string[];
}

const LINE_OCTETS = 256 * 1024;
/** Octets of all responses to one command. */
const MOST_OCTETS = 4 * 1024 * 1024;

export class ImapCommands {
  readonly #conn: Conn;
  readonly #host: string;
  #tag = 0;

  constructor(conn: Conn, host: string) {
    this.#conn = conn;
    this.#host = host;
  }

  /**
   * Sends a command and waits for its end. `literal` is sent at the first continuation request (RFC 9051 §4.3); the command
   * must end with its `{n}`. @throws wire.* when the connection breaks or the server says BYE; the signal's reason
   */
  async run(command: string, signal?: AbortSignal, literal?: AsyncIterable<Uint8Array>): Promise<CommandResult> {
    const tag = `q${++this.#tag}`;
    const untagged: string[] = [];
    let octets = 0;
    let pending = literal;
    await this.#conn.write(`${tag} ${command}\r\n`);
    for (;;) {
      const line = await this.#response(signal);
      octets += line.length;
      if (octets > MOST_OCTETS) throw protocolError('wire.syntax', `${this.#host} does not come to an end`);
      const done = /^\S+ (OK|NO|BAD)\b ?(.*)$/is.exec(line);
      if (line.startsWith(`${tag} `) && done)
        return { status: done[1]!.toUpperCase() as CommandResult['status'], text: done[2]!, untagged };
      if (/^\* BYE\b/i.test(line))
        throw protocolError('wire.closed', `${this.#host} ended the session: ${line.slice(6).slice(0, 200)}`);
      if (line.startsWith('* ')) untagged.push(line.slice(2));
      else if (line.startsWith('+') && pending) {
        for await (const piece of pending) await this.#conn.write(Buffer.from(piece));
        await this.#conn.write('\r\n');
        pending = undefined;
      } else throw protocolError('wire.syntax', `${this.#host} does not answer as expected: ${line.slice(0, 200)}`);
    }
  }

  /** LOGOUT, without waiting for the end. */
  end(): void {
    this.#conn.end('q0 LOGOUT\r\n');
  }

  /** One response, its literals put in. */
  async #response(signal: AbortSignal | undefined): Promise<string> {
    let text = '';
    for (;;) {
      const octets = await this.#conn.line(LINE_OCTETS, signal);
      if (octets === undefined) throw protocolError('wire.closed', `${this.#host} closed the connection`);
      const line = octets.toString('utf8');
      const literal = /\{(\d{1,9})\}$/.exec(line);
      if (!literal) return text + line;
      const length = Number(literal[1]);
      if (length > MOST_OCTETS)
        throw protocolError('wire.syntax', `${this.#host} sends a literal that nobody asked for`);
      text += line.slice(0, literal.index) + (await this.#conn.counted(length, signal)).toString('utf8');
    }
  }
}

/** A string as an IMAP quoted string; what cannot stand in one is left out (RFC 9051 §4.3). */
export function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '').replace(/["\\]/g, String.raw`\$&`)}"`;
}

/** Flags, delimiter and name of a LIST response (RFC 9051 §7.3.1); undefined for another response. */
export function listed(response: string): { readonly flags: readonly string[]; readonly name: string } | undefined {
  const found = /^LIST \(([^)]*)\) (?:"(?:\\.|[^"\\])"|NIL) (?:"((?:\\.|[^"\\])*)"|(\S.*))$/i.exec(response);
  if (!found) return undefined;
  return { flags: found[1]!.split(' '), name: found[2]?.replace(/\\(.)/g, '$1') ?? found[3]! };
}
