/**
 * What the gateway knows of an IMAP session that passes through it: which commands are under way, which mailbox is selected,
 * what the client was told of it. It hides what could not be continued and puts in commands of ours. No I/O.
 */
import { answerOf, numberedOf, responseOf } from '../../protocol/imap/response.ts';
import { withoutHidden } from '../capabilities.ts';
import { CommandFilter, type CommandSink, type Decision } from './commands.ts';
import { type Command } from './command.ts';
import { byNumber, isKnown, isNever, isPassing, visibleExtensions } from './commands-known.ts';
import { isRead } from './framing.ts';
import { type Answer, OwnCommand } from './own-command.ts';
import { NEWS } from './news.ts';
import { appendOf, ListedFolders } from './sent-copy.ts';
import { ResponseFilter, type ResponseSink } from './responses.ts';
import type { Selection } from './selecting.ts';
import type { TapPorts } from './tap-ports.ts';
import { TapState } from './tap-state.ts';
import {
  EXPUNGED,
  NEVER_TOLD,
  NOT_FOLLOWED,
  NOT_IMAP,
  NOT_STORED,
  ONE_AT_A_TIME,
  TOO_LONG,
  TOO_LONG_END,
} from './words.ts';

const LOGOUT_OCTETS = 'LOGOUT'.length;

export class ImapTap extends TapState implements ResponseSink, CommandSink {
  readonly #ports: TapPorts;
  protected readonly responses = new ResponseFilter(this);
  protected readonly commands = new CommandFilter(this);
  protected readonly own: OwnCommand;
  readonly listed = new ListedFolders();

  /** @param prefix of our tags, unlike any client's */
  constructor(ports: TapPorts, prefix: string) {
    super();
    this.#ports = ports;
    this.own = new OwnCommand(prefix);
  }

  fromClient(bytes: Buffer): Buffer {
    return this.ground === 'blind' ? bytes : this.commands.push(bytes);
  }

  fromServer(bytes: Buffer): Buffer {
    if (this.ground === 'blind') return bytes;
    const out = this.responses.push(bytes);
    this.received += out.length;
    return out;
  }

  /** What `fromClient` or `fromServer` gave has been passed on. */
  passed(): void {
    this.commands.passed();
    this.responses.passed();
  }

  /** Lets nothing of the client through from its next command on; every call needs its `release`. */
  hold(): void {
    this.holds += 1;
    this.commands.stop();
  }

  release(): void {
    this.holds -= 1;
    if (this.holds === 0) this.#flow(this.commands.resume());
  }

  /** Octets of the client that were kept back may pass. */
  #flow(bytes: Buffer): void {
    if (bytes.length > 0) this.#ports.toServer(bytes);
    this.commands.passed();
    this.#ports.flows();
  }

  /** Sends a command of ours, to be called when quiet. The client is held meanwhile and does not see the answer. */
  ask(text: string): Promise<Answer> {
    const tag = this.own.newTag();
    return this.#ask(tag, `${tag} ${text}\r\n`, false);
  }

  /** Asks for the UIDs that are not known, or at least for one: the server says what else is new, but expunges nothing meanwhile. */
  number(): Promise<Answer> {
    const { firstUnknown, count } = this.mailbox.current!.view;
    return this.ask(count === 0 ? 'NOOP' : `FETCH ${Math.min(firstUnknown, count)}:* (UID)`);
  }

  /** Ends the IDLE at the server; the client's own stays open. */
  suspendIdle(): Promise<Answer> {
    this.suspendedIdle = true;
    return this.#ask(this.idle!.command.tag, 'DONE\r\n', false);
  }

  /** Has the server take the client's IDLE (again). */
  resumeIdle(): Promise<Answer> {
    const { command } = this.idle!;
    this.suspendedIdle = this.ground !== 'server';
    return this.#ask(command.tag, `${command.tag} IDLE\r\n`, true);
  }

  /**
   * The server has gone. The client is held until `follow`, which sends again what is under way.
   * @returns `over` when the client cannot be spoken to (half a response is out) or has said LOGOUT; `unsure` when nobody knows what
   *   became of a command, and the client has to connect again
   */
  serverGone(): 'over' | 'unsure' | 'held' {
    if (this.ground !== 'server' || this.leaving || !this.responses.between) return 'over';
    if (!this.open.repeatable(this.received, this.responses.within, this.idle?.command)) return 'unsure';
    this.ground = 'none';
    this.responses.restart();
    this.hold();
    this.own.answered('gone');
    if (this.idle?.ending === true) {
      const { tag } = this.idle.command;
      this.open.answered(tag);
      this.idle = undefined;
      this.#tell(`${tag} OK IDLE ended\r\n`);
    }
    return 'held';
  }

  /** What the old server says of the mailbox from here on is not for the client: its successor says it too. */
  mute(): void {
    this.news.mute();
  }

  /** The old server goes on after all, unless a successor has taken over. */
  unmute(): void {
    for (const line of this.news.unmute()) {
      const told = this.line(line);
      if (told !== undefined) this.#tell(`${told}\r\n`);
    }
  }

  /**
   * A successor speaks from now on. Releases nothing.
   * @param lines what brings the client's view up to date, in order
   */
  follow(selection: Selection | undefined, lines: readonly string[], expunging: boolean): void {
    const fromNone = this.ground === 'none';
    this.ground = 'server';
    this.farewell = undefined;
    this.responses.restart();
    this.news.unmute();
    this.mailbox.follow(selection);
    if (lines.length > 0) {
      if ((expunging || this.news.waiting) && !this.idling) this.news.keep(lines);
      else this.#tell(lines.map((line) => `${line}\r\n`).join(''));
    }
    if (!fromNone) return;
    this.open.renew(this.received);
    for (const command of this.open.others(this.idling ? this.idle!.command : undefined)) {
      this.#deliver();
      this.mailbox.asked(command);
      this.#ports.toServer(Buffer.from(`${command.tag} ${command.line}\r\n`, 'latin1'));
    }
  }

  /** A line of ours that may be said at any time, such as the last; not said in the middle of a response. */
  tell(text: string): void {
    if (this.speakable) this.#tell(text);
  }

  // What the client sends.

  passes(verb: string): boolean {
    return isPassing(verb) && !this.news.waiting;
  }

  begin(command: Command): Decision {
    const { tag, verb } = command;
    if (isNever(verb)) {
      this.#tell(`${tag} BAD this command is not available here\r\n`);
      return 'drop';
    }
    if (this.news.waiting && byNumber(command)) {
      if (this.news.refuse()) this.#tell(`${tag} ${EXPUNGED}\r\n`);
      else this.#ports.end(NEVER_TOLD);
      return 'drop';
    }
    const extensions = verb === 'ENABLE' ? visibleExtensions(command.line) : undefined;
    if (extensions?.length === 0) {
      this.#tell(`* ENABLED\r\n${tag} OK ENABLE completed\r\n`);
      return 'drop';
    }
    if (
      command.line.length === LOGOUT_OCTETS &&
      verb === 'LOGOUT' &&
      this.#untouched &&
      this.#ports.leaves(tag, this.mailbox.current !== undefined, this.footprint.unused)
    ) {
      this.commands.stop();
      return 'drop';
    }
    if (verb === 'APPEND' && this.#setApart(command)) return 'apart';
    if (extensions !== undefined) return { instead: `${tag} ENABLE ${extensions.join(' ')}` };
    const numbers = verb === 'IDLE' && this.unnumbered && !this.own.pending;
    return numbers ? { instead: this.#numberBefore(command) } : 'forward';
  }

  begun(command: Command): void {
    const { tag, verb } = command;
    if (this.open.has(tag) || this.own.isLike(tag)) return this.doubtful();
    this.footprint.begun(command);
    this.leaving ||= verb === 'LOGOUT';
    this.mailbox.used(verb);
    this.open.begin(command, this.received);
    this.#ports.asked();
    if (verb === 'IDLE') this.idle = { command, accepted: false, ending: false };
  }

  complete(command: Command): void {
    this.footprint.completed(command);
    if (!isRead(command)) this.doubtful();
    this.#deliver();
    this.mailbox.asked(command);
  }

  judge(command: Command, header: Buffer | undefined): void {
    const decide = (drop: boolean): void => {
      if (this.ground === 'blind') return;
      if (!drop && this.ground === 'none') this.#ports.end(NOT_STORED);
      else this.#flow(this.commands.decide(drop));
    };
    void this.#ports.mayDrop!(appendOf(command.line)!, header).then(decide).catch(this.#ports.fault);
  }

  swallowed({ tag }: Command, goesOn: boolean): void {
    this.#deliver();
    this.#tell(`${tag} ${goesOn ? ONE_AT_A_TIME : 'OK APPEND completed'}\r\n`);
    this.#ports.changed();
  }

  doubtful(): void {
    if (this.ground === 'none') this.#ports.end(NOT_FOLLOWED);
    else if (this.ground === 'server') this.lost();
  }

  tooLong(start: string): void {
    const tag = /^[^ ]{1,100}(?= )/.exec(start)?.[0];
    this.#ports.end(tag === undefined ? TOO_LONG_END : `${tag} ${TOO_LONG}\r\n${TOO_LONG_END}`);
  }

  done(): void {
    if (this.idle !== undefined) this.idle.ending = true;
  }

  // What the server sends.

  answers(line: Buffer): boolean {
    return !this.own.pending && this.open.isAnsweredBy(line);
  }

  get fetches(): boolean {
    return this.own.pending || this.news.watching || this.unnumbered;
  }

  get lists(): boolean {
    return this.listed.wanted;
  }

  line(text: string): string | undefined {
    if (this.ground === 'blind') return text;
    if (text.startsWith('* ')) return this.#untagged(text);
    if (text.startsWith('+')) return this.#continuation(text);
    const answer = answerOf(text);
    if (answer === undefined) return this.#notImap(text);
    const { tag, status } = answer;
    if (this.own.isTag(tag) && this.own.answered(status) === 'ours') {
      this.#ports.changed();
      return undefined;
    }
    const command = this.open.answered(tag);
    if (command === undefined) {
      this.doubtful(); // to nothing we saw
      return text;
    }
    this.footprint.answered(command, status);
    if (this.idle?.command === command) this.idle = undefined;
    const read = this.commands.answered(tag);
    if (read === 'refused') this.footprint.none = false; // a literal was announced and not asked for
    this.mailbox.answered(command, status, text);
    if (read === 'early' || (command.unasked && status === 'BAD')) this.doubtful();
    else if (this.commands.pending > 0) this.#flow(this.commands.more());
    this.#ports.changed();
    return withoutHidden(text);
  }

  /** What the program cannot understand it does not get: the server is taken for gone. */
  #notImap(text: string): undefined {
    if (this.leaving || text === '') return;
    this.strange ??= text;
    this.farewell ??= NOT_IMAP;
  }

  lost(): void {
    if (this.news.waiting || this.commands.apart) this.#ports.end(NOT_FOLLOWED);
    this.ground = 'blind';
    this.own.answered('gone');
    const unfinished = this.responses.restart();
    if (unfinished.length > 0) this.#ports.toClient(unfinished.toString('latin1'));
    this.#flow(this.commands.drain());
  }

  #untagged(text: string): string | undefined {
    const moment = { asked: this.open.count > 0, own: this.own.pending };
    const numbered = numberedOf(text);
    if (numbered !== undefined) return NEWS.has(numbered.name) ? this.news.heard(text, numbered, moment) : text;
    const response = responseOf([text]);
    if (response === undefined) return text.length < 3 ? this.#notImap(text) : text;
    if (response.type === 'vanished' && !response.earlier) return this.news.heard(text, response.set, moment);
    if (response.type === 'status' && response.status === 'BYE' && !this.leaving) {
      this.farewell = text;
      return undefined;
    }
    if (response.type === 'status' && response.status === 'BAD') this.doubtful(); // a line that has no tag for the server
    if (response.type === 'enabled') for (const name of response.names) this.footprint.enabled.add(name);
    if (this.listed.heard(response)) return undefined;
    this.mailbox.noted(response);
    return withoutHidden(text);
  }

  #continuation(text: string): string | undefined {
    if (this.own.continued()) return undefined;
    const others = this.open.count > 1 ? this.open.others(undefined) : [];
    const continued = this.commands.continued();
    if (!continued || others.some(({ verb }) => !isKnown(verb))) {
      this.doubtful(); // for something else than what we would send now
      return text;
    }
    if (this.idle?.accepted === false) {
      this.idle.accepted = true;
      this.#ports.changed();
    }
    if (this.commands.pending > 0) this.#flow(this.commands.more());
    return continued === 'promised' ? undefined : text;
  }

  /** A message is about to be stored that may have to be left out; its text comes to us first. */
  #setApart({ tag, line }: Command): boolean {
    if (this.#ports.mayDrop === undefined || !this.quiet || this.holds > 0 || this.own.isLike(tag)) return false;
    const append = this.ground === 'server' ? appendOf(line) : undefined;
    if (append?.waits === true) this.#tell('+ OK\r\n');
    return append !== undefined;
  }

  /** Nothing is under way, and nothing that was has left a trace. */
  get #untouched(): boolean {
    return this.footprint.none && this.movable && this.quiet && this.holds === 0;
  }

  #deliver(): void {
    const lines = this.news.take();
    if (lines.length > 0) this.#tell(lines.map((line) => `${line}\r\n`).join(''));
  }

  #tell(text: string): void {
    const now = this.responses.insert(text);
    if (now !== '') this.#ports.toClient(now);
  }

  #numberBefore(idle: Command): string {
    const tag = this.own.newTag();
    const { firstUnknown } = this.mailbox.current!.view;
    this.hold();
    this.own.begin(tag, false, () => this.release());
    return `${tag} FETCH ${firstUnknown}:* (UID)\r\n${idle.tag} IDLE`;
  }

  #ask(tag: string, text: string, continuation: boolean): Promise<Answer> {
    if (this.ground !== 'server') return Promise.resolve('gone');
    this.hold();
    return new Promise((resolve) => {
      this.own.begin(tag, continuation, (answer) => {
        this.release();
        resolve(answer);
      });
      this.#ports.asked();
      this.#ports.toServer(Buffer.from(text, 'latin1'));
    });
  }
}
