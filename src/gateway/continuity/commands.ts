/**
 * The client's side of an IMAP session as it passes: where commands begin and end, literals included (RFC 9051 §2.2.1, §4.3;
 * RFC 7888), so that the session can be held between two of them. No I/O.
 */
import { announcedLiteral, type Segment } from '../../protocol/imap/token.ts';
import { isLoneLine, textOf } from './lines.ts';

/** One command of the client. */
export interface Command {
  readonly tag: string;
  /** In capitals; commands by UID are `UID FETCH`, `UID STORE`, … */
  readonly verb: string;
  /** Its text without tag and CRLF up to the first literal. */
  readonly line: string;
  /** Text and literals as received, tag included; complete only when the command is and `small`. */
  readonly segments: readonly Segment[];
  /** False when a literal was too large to be kept. */
  readonly small: boolean;
}

/** `drop`: swallow it; a text goes to the server instead of its first line. */
export type Decision = 'forward' | 'drop' | { readonly instead: string };

export interface CommandSink {
  /** True when commands of this verb, in capitals, pass whatever else they say: `begin` need not be asked. Of `UID FETCH` the first word. */
  passes(verb: string): boolean;
  /** A command begins: its first line is there. What to do with it, and no more: `begun` follows, unless it is dropped. */
  begin(command: Command): Decision;
  /** It is under way. */
  begun(command: Command): void;
  /** The last octet of a command was passed on. */
  complete(command: Command): void;
  /** The line that ends an IDLE. */
  done(): void;
  /** A line that is no command. */
  unreadable(): void;
  /** What the client sends cannot be told apart any more. */
  lost(): void;
}

interface Growing extends Command {
  segments: Segment[];
  small: boolean;
}

/**
 * `command`: a command is to come. `literal`: octets are. `waiting`: a literal was announced, the server has not asked for it yet.
 * `rest`: a command goes on after a literal. `idle`: the line that ends an IDLE is to come.
 */
type Mode = 'command' | 'literal' | 'waiting' | 'rest' | 'idle';

const LF = 0x0a;
const SPACE = 0x20;
const CLOSING_BRACE = 0x7d;
const NOTHING = Buffer.alloc(0);
const COMMAND = /^([^ ]+) (UID +[a-z]+|[a-z][a-z0-9-]*)/i;
/** Message sets of a hundred thousand single messages fit. */
const MOST_LINE = 1024 * 1024;
/** Tag and verb. */
const LONGEST_START = 128;
/** Mailbox names; nothing else of a literal is looked at. */
const MOST_KEPT = 2048;

export class CommandFilter {
  readonly #sink: CommandSink;
  #mode: Mode = 'command';
  #literal = 0;
  #current: Growing | undefined;
  /** The current command is swallowed, to its end. */
  #dropping = false;
  /** A line whose end has not come, or what waits while stopped. */
  #held: Buffer = NOTHING;
  #stopped = false;
  /** The only command of the chunk at hand, which passes as it is: the sink hears of it when it has been passed on. */
  #later: Buffer | undefined;

  constructor(sink: CommandSink) {
    this.#sink = sink;
  }

  /** True when the client is not in the middle of a command (an open IDLE is none). */
  get between(): boolean {
    return this.#mode === 'command' || this.#mode === 'idle';
  }

  /** Octets that have come and were not passed on. */
  get pending(): number {
    return this.#held.length;
  }

  /** The verb of the command that waits, as far as it has come. */
  get nextVerb(): string | undefined {
    return this.#next?.[2]?.toUpperCase();
  }

  get nextTag(): string | undefined {
    return this.#next?.[1];
  }

  get #next(): RegExpExecArray | undefined {
    if (this.#mode !== 'command' || this.#held.length === 0) return undefined;
    return COMMAND.exec(this.#held.toString('latin1', 0, LONGEST_START)) ?? undefined;
  }

  /** Nothing is let through from the next beginning of a command, or end of an IDLE, on. */
  stop(): void {
    this.#stopped = true;
  }

  /** @returns what waits, which is looked at no more */
  drain(): Buffer {
    const waiting = this.#held;
    this.#held = NOTHING;
    return waiting;
  }

  /** @returns what waited and may pass now */
  resume(): Buffer {
    this.#stopped = false;
    return this.push(NOTHING);
  }

  /** The server asks for what was announced. */
  continued(): void {
    if (this.#mode === 'waiting') this.#mode = this.#literal > 0 ? 'literal' : 'rest';
  }

  /** The server has answered: a literal it did not ask for will not come, an IDLE is over. */
  answered(tag: string): void {
    if (this.#current?.tag !== tag) return;
    if (this.#mode === 'waiting' || this.#mode === 'idle') this.#over();
  }

  /** A command is answered by us: if it is still under way, what is to come of it is swallowed. */
  abandon(tag: string): void {
    if (this.#current?.tag !== tag) return;
    if (this.#mode === 'waiting' || this.#mode === 'idle') this.#over();
    else if (this.#mode !== 'command') this.#dropping = true;
  }

  /** What `push` or `resume` gave has been passed on; to be called after each, while the chunk is still there, before anything else. */
  passed(): void {
    const bytes = this.#later;
    if (bytes === undefined) return;
    this.#later = undefined;
    const line = textOf(bytes, 0, bytes.length - 1);
    const command = commandOf(line)!;
    command.segments.push(line);
    this.#sink.begun(command);
    this.#sink.complete(command);
  }

  /** @returns what the server gets */
  push(bytes: Buffer): Buffer {
    if (this.#mode === 'literal' && !this.#dropping && this.#literal > bytes.length && this.#current?.small === false) {
      this.#literal -= bytes.length;
      return bytes;
    }
    if (this.#passesAsItIs(bytes)) {
      this.#later = bytes;
      return bytes;
    }
    return this.#scan(bytes);
  }

  /** One command, whole, of which nothing has to be decided. Without a brace there is no literal. */
  #passesAsItIs(bytes: Buffer): boolean {
    if (this.#mode !== 'command' || this.#stopped || this.#held.length > 0) return false;
    if (!isLoneLine(bytes, CLOSING_BRACE)) return false;
    let space = 0;
    while (bytes[space]! > SPACE) space += 1;
    let stop = space + 1;
    while (bytes[stop]! > SPACE) stop += 1;
    if (space === 0 || bytes[space] !== SPACE) return false;
    return this.#sink.passes(bytes.toString('latin1', space + 1, stop).toUpperCase());
  }

  #scan(bytes: Buffer): Buffer {
    const data = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    this.#held = NOTHING;
    const end = data.length;
    const out: Buffer[] = [];
    let from = 0;
    let at = 0;
    const skip = (to: number, instead?: string): void => {
      out.push(data.subarray(from, at));
      if (instead !== undefined) out.push(Buffer.from(instead, 'latin1'));
      from = to;
    };
    while (at < end) {
      if (this.#mode === 'literal') {
        const octets = Math.min(this.#literal, end - at);
        this.#keep(data.subarray(at, at + octets));
        if (this.#dropping) skip(at + octets);
        at += octets;
        this.#literal -= octets;
        if (this.#literal === 0) this.#mode = 'rest';
        continue;
      }
      if (this.#mode === 'waiting') {
        this.#sink.lost(); // the client did not wait: whether these octets are a literal is for the server to decide
        this.#over();
        break;
      }
      const lf = this.#stopped && this.between ? -1 : data.indexOf(LF, at);
      if (lf === -1) {
        if (end - at > MOST_LINE && !this.#stopped) this.#sink.lost();
        else {
          this.#held = Buffer.from(data.subarray(at));
          skip(end);
        }
        break;
      }
      const decision = this.#line(textOf(data, at, lf));
      if (decision === 'drop') skip(lf + 1);
      else if (decision !== 'forward') skip(lf + 1, `${decision.instead}\r\n`);
      at = lf + 1;
    }
    if (out.length === 0) return from === 0 ? data : data.subarray(from);
    out.push(data.subarray(from));
    return Buffer.concat(out);
  }

  #line(line: string): Decision {
    if (this.#mode === 'idle') {
      this.#over();
      this.#sink.done();
      return 'forward';
    }
    let decision: Decision = this.#dropping ? 'drop' : 'forward';
    const literal = announcedLiteral(line);
    if (this.#mode === 'command') {
      const command = commandOf(line);
      if (command === undefined) {
        this.#sink.unreadable();
        return 'forward'; // the server says BAD
      }
      decision = this.#sink.begin(command);
      if (decision !== 'drop') this.#sink.begun(command);
      this.#current = command;
      this.#dropping = decision === 'drop';
    }
    this.#current!.segments.push(literal?.text ?? line);
    if (literal === undefined) this.#end();
    else if (literal.waits && this.#dropping) this.#over();
    else {
      this.#literal = literal.octets;
      if (literal.octets > MOST_KEPT) this.#current!.small = false;
      else this.#current!.segments.push(NOTHING);
      if (literal.waits) this.#mode = 'waiting';
      else this.#mode = literal.octets > 0 ? 'literal' : 'rest';
    }
    return decision;
  }

  #keep(octets: Buffer): void {
    const { segments, small } = this.#current!;
    if (small) segments[segments.length - 1] = Buffer.concat([segments.at(-1) as Buffer, octets]);
  }

  #end(): void {
    const command = this.#current!;
    const dropped = this.#dropping;
    this.#over();
    if (dropped) return;
    if (command.verb === 'IDLE') {
      this.#mode = 'idle';
      this.#current = command;
    }
    this.#sink.complete(command);
  }

  #over(): void {
    this.#mode = 'command';
    this.#current = undefined;
    this.#dropping = false;
    this.#literal = 0;
  }
}

/** The command that begins with this line, without segments yet. */
function commandOf(line: string): Growing | undefined {
  const found = COMMAND.exec(line);
  if (!found) return undefined;
  const tag = found[1]!;
  const name = found[2]!.toUpperCase();
  const verb = name.startsWith('UID') ? name.replace(/ +/, ' ') : name;
  return { tag, verb, line: line.slice(tag.length + 1), segments: [], small: true };
}
