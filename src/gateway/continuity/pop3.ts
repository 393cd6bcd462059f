/**
 * A POP3 session cannot go on elsewhere: the maildrop is locked to its connection, and deletions count only at QUIT (RFC 1939
 * §4, §6). What can be done is to say so: a command left without an answer gets one, marked as temporary (RFC 3206). Commands
 * that come together (PIPELINING, RFC 2449 §6.6) reach a server that does not announce it one at a time.
 */
import type { RunningRelay } from '../relay-types.ts';
import type { SessionKeeper } from './session-keeper.ts';

const LF = 0x0a;
const MINUS = 0x2d;
const LOST = '-ERR [SYS/TEMP] the connection to the provider was lost; nothing was deleted, connect again\r\n';
const NOTHING = Buffer.alloc(0);
/** Responses that end in a line with a dot alone. LIST and UIDL of one message have one line. Only space separates (RFC 1939 §3). */
const MANY_LINES = /^(?:RETR|TOP|CAPA|(?:LANG|LIST|UIDL)(?= *\r?\n?$))(?=[ \r\n]|$)/i;
/** CR LF . CR LF */
const STOP = Buffer.from('\r\n.\r\n');
/** RFC 2449 §4 allows 255 octets. */
const LONGEST_COMMAND = 1024;
const LONGEST_START = 64;
/** Commands that wait; beyond this the program is not read. */
const MAX_WAITING = 16 * 1024;

export class Pop3Keeper implements SessionKeeper {
  readonly #pipelines: boolean;
  #relay!: RunningRelay;
  /** The client spoke last: an answer is due, and nothing of it has come. */
  #waiting = false;
  #quitting = false;
  #lineEnded = true;
  /** The response that is due, or under way. */
  #due: 'none' | 'line' | 'lines' = 'none';
  /** Its last octets. */
  #tail: Buffer = NOTHING;
  /** What the client has sent behind the command under way. */
  #held: Buffer = NOTHING;
  /** And behind that, in pieces as they came: joined when no command is left before them, so that each octet is copied once. */
  #behind: Buffer[] = [];
  #behindOctets = 0;
  /** Deletions count at QUIT only: ending the session before would undo them. */
  #deleting = false;
  /** Of the commands that came last, where the server takes several: its response ends in a dot. */
  #lastHasLines = false;
  readonly serverEnding = false;
  readonly mayBeSilent = false;

  /** @param capabilities CAPA lines of the server */
  constructor(capabilities: readonly string[] = []) {
    this.#pipelines = capabilities.some((line) => /^PIPELINING\b/i.test(line));
  }

  attach(relay: RunningRelay): void {
    this.#relay = relay;
  }

  fromClient(bytes: Buffer): Buffer {
    this.#waiting = true;
    if (bytes.length <= LONGEST_COMMAND) this.#lookAt(bytes.toString('latin1'));
    this.#quitting ||= bytes.length < 64 && /^QUIT\r?\n$/im.test(bytes.toString('latin1'));
    if (this.#pipelines) return bytes;
    this.#behind.push(bytes);
    this.#behindOctets += bytes.length;
    if (this.#waitingOctets > MAX_WAITING) this.#relay.pauseClient(true);
    return this.#next();
  }

  fromServer(bytes: Buffer): Buffer {
    this.#waiting = false;
    this.#lineEnded = bytes.at(-1) === LF;
    if (this.#due !== 'none') this.#answered(bytes);
    else if (this.#pipelines)
      this.#tail = Buffer.concat([this.#tail, bytes.subarray(-STOP.length)]).subarray(-STOP.length);
    return bytes;
  }

  passed(): void {
    if (this.#due !== 'none' || this.#waitingOctets === 0) return;
    const next = this.#next();
    if (next.length === 0) return;
    this.#waiting = true;
    this.#relay.toServer(next);
  }

  serverGone(): 'end' {
    // After QUIT it is not known what was deleted.
    if (this.#waiting && !this.#quitting && this.#lineEnded) this.#relay.toClient(LOST);
    return 'end';
  }

  get rest(): 'between' | 'none' {
    if (this.#waiting || this.#deleting || this.#quitting || !this.#lineEnded) return 'none';
    if (!this.#pipelines) return this.#due === 'none' && this.#waitingOctets === 0 ? 'between' : 'none';
    return !this.#lastHasLines || this.#tail.equals(STOP) ? 'between' : 'none';
  }

  get held(): number {
    return this.#held.length;
  }

  goodbye(): undefined {
    return undefined;
  }

  close(): void {
    this.#drain();
  }

  get #waitingOctets(): number {
    return this.#held.length + this.#behindOctets;
  }

  #lookAt(commands: string): void {
    this.#deleting = commands.search(/^RSET\b/im) === -1 && (this.#deleting || /^DELE\b/im.test(commands));
    if (!this.#pipelines) return;
    this.#lastHasLines = MANY_LINES.test(commands.trimEnd().split('\n').at(-1)!);
    this.#tail = NOTHING;
  }

  /** What is no command is for the server to refuse. */
  #drain(): Buffer {
    const held = this.#held;
    this.#held = NOTHING;
    this.#behind = [];
    this.#behindOctets = 0;
    return held;
  }

  /** The next command, when none is under way. */
  #next(): Buffer {
    if (this.#due !== 'none') return NOTHING;
    if (this.#behindOctets > 0 && !this.#held.includes(LF)) this.#join();
    const held = this.#held;
    const end = held.indexOf(LF) + 1;
    if (end === 0 && held.length <= LONGEST_COMMAND) return NOTHING; // it is looked at when it is whole
    if (end === 0) return this.#drain();
    const command = end === held.length ? held : held.subarray(0, end);
    this.#held = end === held.length ? NOTHING : held.subarray(end);
    if (this.#waitingOctets <= MAX_WAITING) this.#relay.pauseClient(false);
    this.#due = MANY_LINES.test(command.toString('latin1', 0, Math.min(LONGEST_START, end))) ? 'lines' : 'line';
    this.#tail = NOTHING;
    return command;
  }

  #join(): void {
    this.#held =
      this.#held.length === 0 && this.#behind.length === 1
        ? this.#behind[0]!
        : Buffer.concat([this.#held, ...this.#behind]);
    this.#behind = [];
    this.#behindOctets = 0;
  }

  /** A server that takes one command at a time says nothing behind the answer to it: only where a chunk ends matters. */
  #answered(bytes: Buffer): void {
    if (this.#tail.length === 0 && bytes[0] === MINUS) this.#due = 'line';
    this.#tail = Buffer.concat([this.#tail, bytes.subarray(-STOP.length)]).subarray(-STOP.length);
    if (this.#due === 'line' ? this.#lineEnded : this.#tail.equals(STOP)) this.#due = 'none';
  }
}
