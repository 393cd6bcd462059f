/**
 * A POP3 session cannot go on elsewhere: the maildrop is locked to its connection, and deletions count only at QUIT (RFC 1939
 * §4, §6). What can be done is to say so: a command left without an answer gets one, marked as temporary (RFC 3206). Commands
 * that come together (PIPELINING, RFC 2449 §6.6) reach a server that does not announce it one at a time.
 */
import type { RunningRelay } from '../relay-types.ts';
import { Pop3Due } from './pop3-due.ts';
import type { SessionKeeper } from './session-keeper.ts';

const LF = 0x0a;
const LOST = '-ERR [SYS/TEMP] the connection to the provider was lost; nothing was deleted, connect again\r\n';
const NOTHING = Buffer.alloc(0);
/** RFC 2449 §4 allows 255 octets. */
const LONGEST_COMMAND = 1024;
/** Commands that wait; beyond this the program is not read. */
const MAX_WAITING = 16 * 1024;

/** What it asks of its relay. */
type Pop3Relay = Pick<RunningRelay, 'pauseClient' | 'toServer' | 'toClient'>;

export class Pop3Keeper implements SessionKeeper {
  readonly #pipelines: boolean;
  #relay!: Pop3Relay;
  readonly #due = new Pop3Due();
  /** What the client has sent behind the command under way. */
  #held: Buffer = NOTHING;
  /** And behind that, in pieces as they came: joined when no command is left before them, so that each octet is copied once. */
  #behind: Buffer[] = [];
  #behindOctets = 0;
  #lineEnded = true;
  /** Deletions count at QUIT only: ending the session before would undo them. */
  #deleting = false;
  readonly serverEnding = false;
  readonly mayBeSilent = false;

  /** @param capabilities CAPA lines of the server */
  constructor(capabilities: readonly string[] = []) {
    this.#pipelines = capabilities.some((line) => /^PIPELINING\b/i.test(line));
  }

  attach(relay: Pop3Relay): void {
    this.#relay = relay;
  }

  fromClient(bytes: Buffer): Buffer {
    if (bytes.length <= LONGEST_COMMAND) this.#lookAt(bytes.toString('latin1'));
    if (this.#pipelines) {
      this.#due.asked(bytes);
      return bytes;
    }
    this.#behind.push(bytes);
    this.#behindOctets += bytes.length;
    if (this.#waitingOctets > MAX_WAITING) this.#relay.pauseClient(true);
    return this.#next();
  }

  fromServer(bytes: Buffer): Buffer {
    this.#lineEnded = bytes.at(-1) === LF;
    this.#due.answered(bytes);
    return bytes;
  }

  passed(): void {
    if (this.#due.length > 0 || this.#waitingOctets === 0) return;
    const next = this.#next();
    if (next.length > 0) this.#relay.toServer(next);
  }

  serverGone(): 'end' {
    // After QUIT it is not known what was deleted.
    if (this.owing && !this.#due.leaving && this.#due.between && this.#lineEnded) this.#relay.toClient(LOST);
    return 'end';
  }

  get rest(): 'between' | 'none' {
    const still = !this.#deleting && this.#lineEnded && this.#waitingOctets === 0;
    return still && this.#due.length === 0 && this.#due.whole ? 'between' : 'none';
  }

  get held(): number {
    return this.#held.length + this.#due.octets;
  }

  /** What waits behind a command that is answered goes on at once, if it is whole. */
  get owing(): boolean {
    return this.#due.length > 0;
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
    if (this.#due.length > 0) return NOTHING;
    if (this.#behindOctets > 0 && !this.#held.includes(LF)) this.#join();
    const held = this.#held;
    const end = held.indexOf(LF) + 1;
    if (end === 0 && held.length <= LONGEST_COMMAND) return NOTHING; // it is looked at when it is whole
    if (end === 0) return this.#drain();
    const command = end === held.length ? held : held.subarray(0, end);
    this.#held = end === held.length ? NOTHING : held.subarray(end);
    if (this.#waitingOctets <= MAX_WAITING) this.#relay.pauseClient(false);
    this.#due.asked(command);
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
}
