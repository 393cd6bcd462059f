/**
 * An SMTP session whose server goes away between two mail transactions goes on at the next command with another one, so that
 * programs that keep a connection need not know how long the provider keeps one. Within a transaction it ends with a 421, and
 * the program sends again what it has no answer for (RFC 5321 §3.8, §4.2.4.2).
 */
import { asError } from '../../base/error.ts';
import type { RunningRelay } from '../relay.ts';
import type { KeeperOptions, SessionKeeper } from './keeper.ts';
import { SmtpDialogue } from './smtp-dialogue.ts';
import { Stop } from './stop.ts';

const NOTHING = Buffer.alloc(0);

export class SmtpKeeper implements SessionKeeper {
  readonly #options: KeeperOptions;
  readonly #dialogue = new SmtpDialogue();
  readonly #stop = new Stop();
  #relay!: RunningRelay;
  #gone = false;
  /** What the client sent while there was no server. */
  #waiting: Buffer = NOTHING;
  readonly mayBeSilent = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  attach(relay: RunningRelay): void {
    this.#relay = relay;
  }

  fromClient(bytes: Buffer): Buffer {
    if (!this.#gone) {
      this.#dialogue.fromClient(bytes);
      return bytes;
    }
    const first = this.#waiting.length === 0;
    this.#waiting = Buffer.concat([this.#waiting, bytes]);
    this.#relay.pauseClient(true);
    if (first) void this.#succeed();
    return NOTHING;
  }

  fromServer(bytes: Buffer): Buffer {
    return this.#dialogue.fromServer(bytes);
  }

  get serverEnding(): boolean {
    return !this.#gone && this.#dialogue.farewell !== undefined;
  }

  serverGone(): 'end' | 'replace' {
    const { idle, leaving, speakable, delivering } = this.#dialogue;
    if (leaving) return 'end';
    if (!idle) {
      const fate = delivering ? 'the message may have been taken or not' : 'this message was not taken';
      if (speakable) this.#relay.toClient(this.#last(`the connection to the provider was lost; ${fate}`));
      return 'end';
    }
    this.#gone = true;
    this.#options.log.info({ farewell: this.#dialogue.farewell }, 'the provider ended the session');
    return 'replace';
  }

  goodbye(text: string | undefined): string | undefined {
    return this.#dialogue.speakable ? text : undefined;
  }

  close(): void {
    this.#stop.stop();
  }

  /** Never rejects. */
  async #succeed(): Promise<void> {
    const { clock, log, signIn, onMoved } = this.#options;
    const started = clock.now();
    try {
      const connection = await signIn(undefined, this.#stop.signal);
      if (connection === 'not-renewed' || this.#stop.stopped) return;
      this.#dialogue.restart();
      this.#gone = false;
      this.#relay.replaceServer(connection.conn.detach());
      const waiting = this.#waiting;
      this.#waiting = NOTHING;
      this.#dialogue.fromClient(waiting);
      this.#relay.toServer(waiting);
      this.#relay.pauseClient(false);
      onMoved('server-gone', connection, clock.now() - started);
    } catch (error) {
      if (this.#stop.stopped) return;
      const { code, message } = asError(error);
      log.warn({ code }, `the session could not be moved: ${message}`);
      this.#relay.cut(this.#last(message), 'server-closed');
    }
  }

  #last(text: string): string {
    return `421 4.4.2 ${this.#options.hostname} ${text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 300)}\r\n`;
  }
}
