/**
 * What the gateway knows of an IMAP session that passes through it: which commands are under way, which mailbox is selected,
 * what the client was told of it. It hides what could not be continued and puts in commands of ours. No I/O.
 */
import { withoutHidden } from '../capabilities.ts';
import { type Command, CommandFilter, type CommandSink, type Decision } from './commands.ts';
import { byNumber, isNever, isRepeatable, knowsModSeq, savesResult, visibleExtensions } from './commands-known.ts';
import { type Answer, OwnCommand } from './own-command.ts';
import { NUMBERED, OWN_FETCH, STATUS, UID_FIRST } from './response-lines.ts';
import { ResponseFilter, type ResponseSink } from './responses.ts';
import { Selecting } from './selecting.ts';
import type { Selection } from './selection.ts';
import type { Place } from './successor.ts';
import type { TapPorts } from './tap-ports.ts';

interface Open {
  readonly command: Command;
  /** Octets the client had received when it began. */
  readonly received: number;
}

const LEAVING: ReadonlySet<string> = new Set(['SELECT', 'EXAMINE', 'LOGOUT']);
const LOST =
  'NO [UNAVAILABLE] the connection to the provider was lost before it answered; this may have been done or not';
const EXPUNGED = 'NO [EXPUNGEISSUED] messages were expunged meanwhile, numbers have changed; NOOP tells which';
/** A program that never sends a command with which it could be told of expunged messages has to start again. */
const MOST_REFUSED = 3;

export class ImapTap implements ResponseSink, CommandSink {
  readonly #ports: TapPorts;
  readonly #responses = new ResponseFilter(this);
  readonly #commands = new CommandFilter(this);
  readonly #mailbox = new Selecting();
  readonly #enabled = new Set<string>();
  #open: Open[] = [];
  #idle: { readonly command: Command; accepted: boolean; ending: boolean } | undefined;
  readonly #own: OwnCommand;
  #holds = 0;
  /** Changes of the view that the client may not be told before its next command (RFC 9051 §7.5.1), in the server's order. */
  #held: string[] = [];
  #refused = 0;
  #received = 0;
  #condstore = false;
  #loggingOut = false;
  #farewell: string | undefined;
  #ground: 'server' | 'none' | 'blind' = 'server';
  #movable = true;
  /** Whether a command of the client has ever succeeded; undefined before the first answer. */
  #worked: boolean | undefined;

  /** @param prefix of our tags, unlike any client's */
  constructor(ports: TapPorts, prefix: string) {
    this.#ports = ports;
    this.#own = new OwnCommand(prefix);
  }

  /** True while the client's IDLE is open and the server has taken it. */
  get idling(): boolean {
    return this.#idle?.accepted === true && !this.#idle.ending;
  }

  /** True at the moments at which the server may be replaced: nothing is under way, or IDLE. */
  get quiet(): boolean {
    return !this.busy && this.#commands.between && this.#responses.between && !this.#own.pending;
  }

  /** The tag of a LOGOUT that waits: there is no need of a server for that. */
  get logoutTag(): string | undefined {
    const { nextVerb, nextTag } = this.#commands;
    return nextVerb === 'LOGOUT' && !this.busy ? nextTag : undefined;
  }

  /** Octets the client has sent that were not passed on. */
  get pending(): number {
    return this.#commands.pending;
  }

  /** True when a line of ours would not cut a response in two. */
  get speakable(): boolean {
    return this.#ground !== 'blind' && this.#responses.between;
  }

  /** False for a session that cannot be followed, is about to end by itself, or never worked. */
  get movable(): boolean {
    return (
      this.#movable && this.#worked !== false && this.#ground !== 'blind' && !this.#loggingOut && this.#mailbox.known
    );
  }

  /** The client has said LOGOUT. */
  get leaving(): boolean {
    return this.#loggingOut;
  }

  /** The server's BYE, when it said one unasked. */
  get farewell(): string | undefined {
    return this.#farewell;
  }

  get place(): Place {
    const condstore = this.#condstore || this.#enabled.has('CONDSTORE') || this.#enabled.has('QRESYNC');
    // Whoever is about to go to another mailbox must not hear of this one any more.
    const leaving = LEAVING.has(this.#commands.nextVerb ?? '');
    return { enabled: new Set(this.#enabled), selection: leaving ? undefined : this.#mailbox.selection(condstore) };
  }

  /** True when the session is still where it was. */
  isIn({ enabled, selection }: Place): boolean {
    return enabled.size === this.#enabled.size && selection?.view === this.place.selection?.view;
  }

  /** True when UIDs of the selected mailbox's messages should be asked for. */
  get unnumbered(): boolean {
    const view = this.#mailbox.current?.view;
    return view !== undefined && !view.complete && !view.broken;
  }

  /** Whether the client can know nothing but the number of messages whose UIDs we do not know. */
  get freeEnd(): boolean {
    return this.#mailbox.untouched;
  }

  fromClient(bytes: Buffer): Buffer {
    return this.#ground === 'blind' ? bytes : this.#commands.push(bytes);
  }

  fromServer(bytes: Buffer): Buffer {
    if (this.#ground === 'blind') return bytes;
    const out = this.#responses.push(bytes);
    this.#received += out.length;
    return out;
  }

  /** Lets nothing of the client through from its next command on; every call needs its `release`. */
  hold(): void {
    this.#holds += 1;
    this.#commands.stop();
  }

  release(): void {
    this.#holds -= 1;
    if (this.#holds > 0) return;
    const bytes = this.#commands.resume();
    if (bytes.length > 0) this.#ports.toServer(bytes);
  }

  /** Sends a command of ours, to be called when quiet. The client is held meanwhile and does not see the answer. */
  ask(text: string): Promise<Answer> {
    const tag = this.#own.newTag();
    return this.#ask(tag, `${tag} ${text}\r\n`, false);
  }

  /** Asks for the UIDs that are not known, or at least for one: the server says what else is new, but expunges nothing meanwhile. */
  number(): Promise<Answer> {
    const { firstUnknown, count } = this.#mailbox.current!.view;
    return this.ask(count === 0 ? 'NOOP' : `FETCH ${Math.min(firstUnknown, count)}:* (UID)`);
  }

  /** Ends the IDLE at the server; the client's own stays open. */
  suspendIdle(): Promise<Answer> {
    return this.#ask(this.#idle!.command.tag, 'DONE\r\n', false);
  }

  /** Has the server take the client's IDLE (again). */
  resumeIdle(): Promise<Answer> {
    const { command } = this.#idle!;
    return this.#ask(command.tag, `${command.tag} IDLE\r\n`, true);
  }

  /**
   * The server has gone. Commands that cannot be sent again are answered, the client is held until `follow`.
   * @returns `over` when the client cannot be spoken to (half a response is out) or has said LOGOUT
   */
  serverGone(): 'over' | 'held' {
    const between = this.#responses.between;
    if (this.#ground !== 'server' || this.#loggingOut || !between) return 'over';
    this.#ground = 'none';
    this.#responses.restart();
    this.hold();
    this.#own.answered('gone');
    let refusing = false;
    this.#open = this.#open.filter(({ command, received }) => {
      if (command === this.#idle?.command) {
        if (!this.#idle.ending) return true;
        this.#tell(`${command.tag} OK IDLE ended\r\n`);
        this.#idle = undefined;
        return false;
      }
      refusing ||= !isRepeatable(command) || (received !== this.#received && command.verb !== 'NOOP');
      if (refusing) this.#refuse(command, LOST);
      return !refusing;
    });
    return 'held';
  }

  /** True when commands wait for an answer, an accepted IDLE apart. */
  get busy(): boolean {
    return this.#open.length > (this.idling ? 1 : 0);
  }

  /**
   * A successor speaks from now on. Releases nothing.
   * @param lines what brings the client's view up to date, in order
   */
  follow(selection: Selection | undefined, lines: readonly string[], expunging: boolean): void {
    const fromNone = this.#ground === 'none';
    this.#ground = 'server';
    this.#farewell = undefined;
    this.#responses.restart();
    this.#mailbox.follow(selection);
    if (lines.length > 0) {
      if (expunging && !this.idling) this.#held.push(...lines);
      else this.#tell(lines.map((line) => `${line}\r\n`).join(''));
    }
    if (!fromNone) return;
    const repeated = this.#open.filter(({ command }) => !this.idling || command !== this.#idle!.command);
    for (const { command } of repeated) {
      if (this.#held.length > 0 && byNumber(command)) this.#refuse(command, EXPUNGED);
      else {
        if (!byNumber(command)) this.#deliver();
        this.#mailbox.asked(command);
        this.#ports.toServer(Buffer.from(`${command.tag} ${command.line}\r\n`, 'latin1'));
        continue;
      }
      this.#open = this.#open.filter((each) => each.command !== command);
    }
  }

  /** A line of ours that may be said at any time, such as the last; not said in the middle of a response. */
  tell(text: string): void {
    if (this.speakable) this.#tell(text);
  }

  // What the client sends.

  begin(command: Command): Decision {
    const { tag, verb } = command;
    if (isNever(verb)) {
      this.#tell(`${tag} BAD this command is not available here\r\n`);
      return 'drop';
    }
    if (this.#held.length > 0 && byNumber(command)) {
      this.#refused += 1;
      if (this.#refused < MOST_REFUSED) this.#tell(`${tag} ${EXPUNGED}\r\n`);
      else this.#ports.end('* BYE messages were expunged and this session cannot be told; connect again\r\n');
      return 'drop';
    }
    const extensions = verb === 'ENABLE' ? visibleExtensions(command.line) : undefined;
    if (extensions?.length === 0) {
      this.#tell(`* ENABLED\r\n${tag} OK ENABLE completed\r\n`);
      return 'drop';
    }
    if (savesResult(command)) this.#movable = false;
    this.#condstore ||= knowsModSeq(command);
    this.#loggingOut ||= verb === 'LOGOUT';
    this.#mailbox.used(verb);
    this.#open.push({ command, received: this.#received });
    if (extensions !== undefined) return { instead: `${tag} ENABLE ${extensions.join(' ')}` };
    if (verb !== 'IDLE') return 'forward';
    this.#idle = { command, accepted: false, ending: false };
    return this.unnumbered && !this.#own.pending ? { instead: this.#numberBefore(command) } : 'forward';
  }

  complete(command: Command): void {
    this.#deliver();
    this.#mailbox.asked(command);
  }

  done(): void {
    if (this.#idle !== undefined) this.#idle.ending = true;
  }

  // What the server sends.

  get fetches(): boolean {
    return this.#own.pending || this.#held.length > 0 || this.unnumbered;
  }

  line(text: string): string | undefined {
    if (text.startsWith('* ')) return this.#untagged(text);
    if (text.startsWith('+')) return this.#continuation(text);
    const space = text.indexOf(' ');
    const tag = text.slice(0, space === -1 ? text.length : space);
    const status = text
      .slice(tag.length + 1, tag.length + 4)
      .trimEnd()
      .toUpperCase() as Answer;
    if (this.#own.isTag(tag) && this.#own.answered(status) === 'ours') return undefined;
    const at = this.#open.findIndex(({ command }) => command.tag === tag);
    if (at === -1) return text;
    const [{ command }] = this.#open.splice(at, 1) as [Open];
    this.#worked = this.#worked === true || status === 'OK';
    if (this.#idle?.command === command) this.#idle = undefined;
    this.#commands.answered(tag);
    this.#mailbox.answered(command, status, text);
    this.#ports.changed();
    return withoutHidden(text);
  }

  lost(): void {
    if (this.#held.length > 0) this.#ports.end('* BYE this session cannot be followed any more; connect again\r\n');
    this.#ground = 'blind';
    this.#own.answered('gone');
    const unfinished = this.#responses.restart();
    if (unfinished.length > 0) this.#ports.toClient(unfinished.toString('latin1'));
    const waiting = this.#commands.drain();
    if (waiting.length > 0) this.#ports.toServer(waiting);
  }

  #untagged(text: string): string | undefined {
    const [, digits, word] = NUMBERED.exec(text) ?? [];
    if (digits !== undefined) return this.#numbered(Number(digits), word!.toUpperCase(), text);
    const [, vanished] = /^\* VANISHED ([\d:,]+)$/i.exec(text) ?? [];
    if (vanished !== undefined) {
      this.#mailbox.vanished(vanished);
      return this.#whenAllowed(text, true);
    }
    if (STATUS.test(text)) {
      if (/^\* BYE/i.test(text) && !this.#loggingOut) {
        this.#farewell = text;
        return undefined;
      }
      this.#mailbox.noted(text);
      return withoutHidden(text);
    }
    if (/^\* FLAGS /i.test(text)) this.#mailbox.noted(text);
    for (const name of /^\* ENABLED (.*)$/i.exec(text)?.[1]?.split(' ') ?? []) this.#enabled.add(name.toUpperCase());
    return withoutHidden(text);
  }

  #numbered(number: number, word: string, text: string): string | undefined {
    if (word === 'FETCH') {
      const uid = UID_FIRST.exec(text)?.[1];
      if (uid !== undefined && this.unnumbered) this.#mailbox.learn(number, Number(uid));
      return this.#own.pending && OWN_FETCH.test(text) ? undefined : this.#whenAllowed(text, false);
    }
    if (word === 'EXISTS') this.#mailbox.exists(number);
    else if (word === 'EXPUNGE') this.#mailbox.expunge(number);
    return this.#whenAllowed(text, word === 'EXPUNGE');
  }

  /** Order counts: behind a change that has to wait, all others wait. */
  #whenAllowed(text: string, expunging: boolean): string | undefined {
    if (this.#held.length === 0 && !(expunging && this.#open.length === 0)) return text;
    this.#held.push(text);
    return undefined;
  }

  #continuation(text: string): string | undefined {
    if (this.#own.continued()) return undefined;
    if (this.#idle !== undefined && !this.#idle.accepted) {
      this.#idle.accepted = true;
      this.#ports.changed();
    } else this.#commands.continued();
    return text;
  }

  #deliver(): void {
    const lines = this.#held.splice(0);
    this.#refused = 0;
    if (lines.length > 0) this.#tell(lines.map((line) => `${line}\r\n`).join(''));
  }

  #refuse(command: Command, words: string): void {
    this.#tell(`${command.tag} ${words}\r\n`);
    this.#mailbox.answered(command, 'NO', '');
    if (this.#idle?.command === command) this.#idle = undefined;
    this.#commands.abandon(command.tag);
  }

  #tell(text: string): void {
    const now = this.#responses.insert(text);
    if (now !== '') this.#ports.toClient(now);
  }

  #numberBefore(idle: Command): string {
    const tag = this.#own.newTag();
    const { firstUnknown } = this.#mailbox.current!.view;
    this.hold();
    this.#own.begin(tag, false, () => this.release());
    return `${tag} FETCH ${firstUnknown}:* (UID)\r\n${idle.tag} IDLE`;
  }

  #ask(tag: string, text: string, continuation: boolean): Promise<Answer> {
    if (this.#ground !== 'server') return Promise.resolve('gone');
    this.hold();
    return new Promise((resolve) => {
      this.#own.begin(tag, continuation, (answer) => {
        this.release();
        resolve(answer);
      });
      this.#ports.toServer(Buffer.from(text, 'latin1'));
    });
  }
}
