/** Responses that a POP3 server still owes, and where each of them ends (RFC 1939 §3). No I/O. */
import { InTurn } from './in-turn.ts';

const LF = 0x0a;
const MINUS = 0x2d;
const CRLF = Buffer.from('\r\n');
const STOP = Buffer.from('\r\n.\r\n');
const NOTHING = Buffer.alloc(0);
/** Responses that end in a line with a dot alone. LIST and UIDL of one message have one line. Only space separates (RFC 1939 §3). */
const MANY_LINES = /^(?:RETR|TOP|CAPA|(?:LANG|LIST|UIDL)(?= *\r?\n?$))(?=[ \r\n]|$)/i;
const QUIT = /^QUIT[ \r\n]/i;
const LONGEST_START = 64;
/** Of each, about. */
const ENTRY_OCTETS = 8;

export class Pop3Due {
  readonly #due = new InTurn<'line' | 'lines' | 'quit'>();
  /** How the command begins whose end has not come. */
  #start = '';
  /** Of the response under way. `lines`: its first line was good, and its last one is to come. */
  #part: 'none' | 'first' | 'lines' = 'none';
  #refused = false;
  /** The last octets of its lines. */
  #tail: Buffer = NOTHING;

  get length(): number {
    return this.#due.length;
  }

  get octets(): number {
    return this.#due.length * ENTRY_OCTETS;
  }

  /** Nothing but the answer to QUIT is due. */
  get leaving(): boolean {
    return this.#due.length === 1 && this.#due.first === 'quit';
  }

  /** No command was passed on in part. */
  get whole(): boolean {
    return this.#start === '';
  }

  /** No response is under way: a line of ours would be the next one. */
  get between(): boolean {
    return this.#part === 'none';
  }

  /** Commands go to the server. */
  asked(bytes: Buffer): void {
    let at = 0;
    for (let lf = bytes.indexOf(LF); lf !== -1; lf = bytes.indexOf(LF, at)) {
      this.#begin(bytes.subarray(at, lf + 1));
      this.#due.push(MANY_LINES.test(this.#start) ? 'lines' : QUIT.test(this.#start) ? 'quit' : 'line');
      this.#start = '';
      at = lf + 1;
    }
    this.#begin(bytes.subarray(at));
  }

  #begin(command: Buffer): void {
    const missing = LONGEST_START - this.#start.length;
    if (missing > 0) this.#start += command.toString('latin1', 0, Math.min(missing, command.length));
  }

  /** The server says something. */
  answered(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && this.#due.length > 0)
      at = this.#part === 'lines' ? this.#lines(bytes, at) : this.#first(bytes, at);
  }

  /** @returns where the rest begins */
  #first(bytes: Buffer, at: number): number {
    if (this.#part === 'none') this.#refused = bytes[at] === MINUS;
    const lf = bytes.indexOf(LF, at);
    this.#part = 'first';
    if (lf === -1) return bytes.length;
    if (this.#due.first === 'lines' && !this.#refused) {
      this.#part = 'lines';
      this.#tail = CRLF;
    } else this.#end();
    return lf + 1;
  }

  #lines(bytes: Buffer, at: number): number {
    const edge = Buffer.concat([this.#tail, bytes.subarray(at, at + STOP.length - 1)]);
    const across = edge.indexOf(STOP);
    const within = across === -1 ? bytes.indexOf(STOP, at) : -1;
    if (across === -1 && within === -1) {
      this.#tail = Buffer.concat([this.#tail, bytes.subarray(Math.max(at, bytes.length - STOP.length + 1))]).subarray(
        1 - STOP.length,
      );
      return bytes.length;
    }
    const end = across === -1 ? within : at - this.#tail.length + across;
    this.#end();
    return end + STOP.length;
  }

  #end(): void {
    this.#due.shift();
    this.#part = 'none';
    this.#tail = NOTHING;
  }
}
