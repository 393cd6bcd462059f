/**
 * A POP3 session cannot go on elsewhere: the maildrop is locked to its connection, and deletions count only at QUIT (RFC 1939
 * §4, §6). What can be done is to say so: a command left without an answer gets one, marked as temporary (RFC 3206).
 */
import type { RunningRelay } from '../relay.ts';
import type { SessionKeeper } from './keeper.ts';

const LF = 0x0a;
const LOST = '-ERR [SYS/TEMP] the connection to the provider was lost; nothing was deleted, connect again\r\n';

export class Pop3Keeper implements SessionKeeper {
  #relay!: RunningRelay;
  /** The client spoke last: an answer is due, and nothing of it has come. */
  #waiting = false;
  #quitting = false;
  #lineEnded = true;
  readonly serverEnding = false;
  readonly mayBeSilent = false;

  attach(relay: RunningRelay): void {
    this.#relay = relay;
  }

  fromClient(bytes: Buffer): Buffer {
    this.#waiting = true;
    this.#quitting ||= bytes.length < 64 && /^QUIT\r?\n$/im.test(bytes.toString('latin1'));
    return bytes;
  }

  fromServer(bytes: Buffer): Buffer {
    this.#waiting = false;
    this.#lineEnded = bytes.at(-1) === LF;
    return bytes;
  }

  serverGone(): 'end' {
    // After QUIT it is not known what was deleted.
    if (this.#waiting && !this.#quitting && this.#lineEnded) this.#relay.toClient(LOST);
    return 'end';
  }

  goodbye(): undefined {
    return undefined;
  }

  close(): void {
    // It holds nothing.
  }
}
