/**
 * The client's side of an IMAP session as it passes: where commands begin and end, literals included (RFC 9051 §2.2.1, §4.3;
 * RFC 7888), so that the session can be held between two of them. No I/O.
 */
import type { Command } from './command.ts';
import { announcedLiteral, type Segment } from '../../protocol/imap/token.ts';
import { isOneLine } from './framing.ts';
import { isLoneLine, textOf } from './lines.ts';
import { SetApart } from './set-apart.ts';
import { Unfinished } from './unfinished.ts';

/**
 * `drop`: swallow it; `apart`: the server does not hear of it before `decide`, and its client need not wait to be asked for its
 * literal; a text goes to the server instead of its first line.
 */
export type Decision = 'forward' | 'drop' | 'apart' | { readonly instead: string };

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
  /** What the client sends may be told apart by the server in another way: it is to be drained, and passes as it is. */
  doubtful(): void;
  /** The header of a command that was set apart has come, or as much of it as is looked at: `decide` is to follow. */
  judge(command: Command, header: Buffer | undefined): void;
  /** A command that was set apart and that the server is not to get has come to its end, or goes on where it cannot. */
  swallowed(command: Command, goesOn: boolean): void;
  /** A line has more octets than are kept; this is its beginning. */
  tooLong(start: string): void;
}

interface Growing extends Command {
  segments: Segment[];
  small: boolean;
  unasked: boolean;
}

/**
 * `command`: a command is to come. `literal`: octets are. `rest`: a command goes on after a literal. `idle`: the line that ends an
 * IDLE is to come. `asking`: a literal was announced that the server has to ask for, or an IDLE that it has to take. What the
 * client sends without waiting for that is kept back: only the server's word says what it is.
 */
type Mode = 'command' | 'literal' | 'asking' | 'rest' | 'idle';

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const CLOSING_BRACE = 0x7d;
const NOTHING = Buffer.alloc(0);
/** RFC 9051 §9: a tag is of any ASTRING-CHAR but `+`. */
const COMMAND = /^([^\x00-\x20\x7f-\xff(){%*"\\+]+) (UID +[a-z]+|[a-z][a-z0-9.-]*)(?= |$)/i;
/** Message sets of a hundred thousand single messages fit. */
const MAX_LINE = 1024 * 1024;
/** Tag and verb. */
const LONGEST_START = 128;
/** Mailbox names; nothing else of a literal is looked at. */
const MAX_KEPT = 2048;

export class CommandFilter {
  readonly #sink: CommandSink;
  #mode: Mode = 'command';
  #literal = 0;
  #current: Growing | undefined;
  /** The current command is swallowed, to its end. */
  #dropping = false;
  /** The current command, of which the server knows nothing. */
  #apart: SetApart | undefined;
  /** The server has still to ask for a literal that its client was asked for by us, and that is here. */
  #promised = false;
  /** A line whose end has not come, or what waits while stopped. */
  readonly #held = new Unfinished();
  #stopped = false;
  /** Nothing is looked at any more. */
  #drained = false;
  /** The only command of the chunk at hand, which passes as it is: the sink hears of it when it has been passed on. */
  #later: Buffer | undefined;

  constructor(sink: CommandSink) {
    this.#sink = sink;
  }

  /** True when the client is not in the middle of a command (an open IDLE is none). */
  get between(): boolean {
    return this.#mode === 'command' || this.#mode === 'idle';
  }

  /** True when nothing more of a command is due from the client before the server says something. */
  get whole(): boolean {
    return this.#mode !== 'literal' && this.#mode !== 'rest';
  }

  /** True when the server has the beginning of a command and waits for its client, whom it may have to ask. */
  get unfinished(): boolean {
    return !this.between && !this.#dropping && this.#current?.verb !== 'IDLE';
  }

  /** True while it is looked at what is to become of a command. */
  get judging(): boolean {
    return this.#apart?.judging === true;
  }

  /** Octets that have come and were not passed on. */
  get pending(): number {
    return this.#held.length;
  }

  /** Of these, what waits for us or for the server, not for the rest of its line. */
  get withheld(): number {
    return this.#waits ? this.#held.length : 0;
  }

  get #waits(): boolean {
    return this.#mode === 'asking' || (this.#stopped && this.between) || this.judging;
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
    const line = this.#held.start(LONGEST_START);
    const end = line.search(/\r?\n/);
    return COMMAND.exec(end === -1 ? line : line.slice(0, end)) ?? undefined;
  }

  /** Nothing is let through from the next beginning of a command, or end of an IDLE, on. */
  stop(): void {
    this.#stopped = true;
  }

  /** @returns what waits, which is looked at no more, as is all that follows */
  drain(): Buffer {
    this.#drained = true;
    return this.#held.take();
  }

  /** True while the server does not know of all that the client has said, or was asked for: none of it could pass as it is. */
  get apart(): boolean {
    return this.#promised || this.#dropping || this.#apart !== undefined;
  }

  /** What is to become of the command that was set apart. @returns what the server gets now */
  decide(drop: boolean): Buffer {
    const apart = this.#apart!;
    apart.judging = false;
    if (drop) return this.more();
    this.#apart = undefined;
    this.#dropping = false;
    this.#sink.begun(this.#current!);
    const [first, kept] = apart.take();
    if (!apart.waits) return Buffer.concat([first, kept, this.more()]);
    const rest = this.#held.take();
    this.#held.add(kept);
    this.#held.add(rest);
    this.#literal = apart.octets;
    this.#mode = 'asking';
    this.#promised = true;
    return first;
  }

  /** @returns what waited and may pass now */
  resume(): Buffer {
    this.#stopped = false;
    return this.more();
  }

  /** @returns what waited for the server and may pass now */
  more(): Buffer {
    return this.#held.length === 0 || this.#waits ? NOTHING : this.#scan(NOTHING);
  }

  /** The server asks for what was announced. @returns false when nothing was, `promised` when the client was told so before */
  continued(): boolean | 'promised' {
    if (this.#mode !== 'asking') return false;
    if (this.#promised) {
      this.#promised = false;
      this.#mode = 'literal';
      return 'promised';
    }
    this.#mode = this.#current!.verb === 'IDLE' ? 'idle' : this.#literal > 0 ? 'literal' : 'rest';
    return true;
  }

  /**
   * The server has answered: a literal it did not ask for will not come, an IDLE is over.
   * @returns `early` when the command had not come to its end, or what follows it was sent as if its literal had been asked
   *   for, `refused` when it was not
   */
  answered(tag: string): 'early' | 'refused' | 'whole' {
    if (this.#current?.tag !== tag || this.#mode === 'command') return 'whole';
    if (this.#mode !== 'asking' && this.#mode !== 'idle') return this.#dropping ? 'whole' : 'early';
    const refused = this.#current.verb !== 'IDLE';
    const early = refused && !this.#promised && this.#held.length > 0;
    this.#unasked();
    return early ? 'early' : refused ? 'refused' : 'whole';
  }

  /** Nobody asks for what was announced: it will not come, unless its client was asked for it by us. */
  #unasked(): void {
    if (!this.#promised) return this.#over();
    this.#promised = false;
    this.#dropping = true;
    this.#mode = 'literal';
  }

  /** What `push` or `resume` gave has been passed on; to be called after each, while the chunk is still there, before anything else. */
  passed(): void {
    const bytes = this.#later;
    if (bytes === undefined) return;
    this.#later = undefined;
    const line = textOf(bytes, 0, bytes.length - 1);
    const command = bytes.length - line.length === 2 && isOneLine(line, false) ? commandOf(line) : undefined;
    if (command === undefined) return this.#sink.doubtful();
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
    if (this.#held.length > 0) {
      const waits = this.#waits;
      if (bytes.length > 0 && (waits || bytes.indexOf(LF) === -1)) {
        this.#held.add(bytes);
        if (!waits && this.#held.length > MAX_LINE) this.#sink.tooLong(this.#held.start(LONGEST_START));
        return NOTHING;
      }
    }
    const data = this.#held.length === 0 ? bytes : this.#held.takeWith(bytes);
    const end = data.length;
    const out: Buffer[] = [];
    let from = 0;
    let at = 0;
    const skip = (to: number, instead?: string): void => {
      out.push(data.subarray(from, at));
      if (instead !== undefined) out.push(Buffer.from(instead, 'latin1'));
      from = to;
    };
    while (at < end && !this.#drained) {
      if (this.#mode === 'literal' && !this.#waits) {
        const octets = Math.min(this.#literal, end - at);
        this.#keep(data.subarray(at, at + octets));
        if (this.#dropping) skip(at + octets);
        at += octets;
        this.#literal -= octets;
        if (this.#literal === 0) this.#mode = 'rest';
        if (this.#apart?.isReady(this.#literal === 0) === true) this.#sink.judge(this.#current!, this.#apart.header);
        continue;
      }
      const lf = this.#waits ? -1 : data.indexOf(LF, at);
      if (lf === -1) {
        this.#held.add(data.subarray(at));
        skip(end);
        if (!this.#waits && end - at > MAX_LINE) this.#sink.tooLong(this.#held.start(LONGEST_START));
        break;
      }
      const line = textOf(data, at, lf);
      const decision = this.#line(line, lf > at && data[lf - 1] === CR);
      if (decision === 'drop') skip(lf + 1);
      else if (typeof decision === 'object') skip(lf + 1, `${decision.instead}\r\n`);
      at = lf + 1;
    }
    if (out.length === 0) return from === 0 ? data : data.subarray(from);
    out.push(data.subarray(from));
    return Buffer.concat(out);
  }

  #line(line: string, ended: boolean): Decision {
    if (this.#mode === 'idle') {
      this.#over();
      if (!ended || line.toUpperCase() !== 'DONE') this.#sink.doubtful();
      else this.#sink.done();
      return 'forward';
    }
    let decision: Decision = this.#dropping ? 'drop' : 'forward';
    const literal = announcedLiteral(line);
    const alike = ended && isOneLine(literal?.text ?? line, literal !== undefined);
    if (this.#mode === 'command') {
      const command = alike ? commandOf(line) : undefined;
      if (command === undefined) {
        this.#sink.doubtful();
        return 'forward';
      }
      decision = this.#sink.begin(command);
      if (decision === 'apart') {
        this.#apart = new SetApart(line, literal!);
        decision = 'drop';
      } else if (decision !== 'drop') this.#sink.begun(command);
      this.#current = command;
      this.#dropping = decision === 'drop';
    } else if (!alike) {
      this.#sink.doubtful();
      return decision;
    }
    const current = this.#current!;
    current.segments.push(literal?.text ?? line);
    if (literal === undefined) this.#end();
    else if (literal.waits && this.#dropping && this.#apart?.isNew !== true) {
      const apart = this.#apart;
      this.#over();
      if (apart !== undefined) this.#sink.swallowed(current, true);
    } else {
      this.#literal = literal.octets;
      current.unasked ||= !literal.waits;
      current.small &&= literal.octets <= MAX_KEPT;
      current.segments.push(NOTHING);
      if (this.#apart !== undefined) current.small = false;
      this.#apart?.goesOn();
      if (literal.waits && this.#apart === undefined) this.#mode = 'asking';
      else this.#mode = literal.octets > 0 ? 'literal' : 'rest';
    }
    return decision;
  }

  #keep(octets: Buffer): void {
    this.#apart?.keep(octets);
    const { segments, small } = this.#current!;
    if (small) segments[segments.length - 1] = Buffer.concat([segments.at(-1) as Buffer, octets]);
  }

  #end(): void {
    const command = this.#current!;
    const dropped = this.#dropping;
    const apart = this.#apart;
    this.#over();
    if (apart !== undefined) this.#sink.swallowed(command, apart.more);
    if (dropped) return;
    if (command.verb === 'IDLE') {
      this.#mode = 'asking';
      this.#current = command;
    }
    this.#sink.complete(command);
  }

  #over(): void {
    this.#mode = 'command';
    this.#current = this.#apart = undefined;
    this.#dropping = this.#promised = false;
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
  return { tag, verb, line: line.slice(tag.length + 1), segments: [], small: true, unasked: false };
}
