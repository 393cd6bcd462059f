/**
 * An SMTP session whose server goes away between two mail transactions goes on at the next command with another one, so that
 * programs that keep a connection need not know how long the provider keeps one. Within a transaction it ends with a 421, and
 * the program sends again what it has no answer for (RFC 5321 §3.8).
 */
import { asciiLine } from '../../base/ascii-line.ts';
import { asError } from '../../base/error.ts';
import type { RunningRelay } from '../relay-types.ts';
import type { KeeperOptions, SessionKeeper } from './session-keeper.ts';
import { SmtpDialogue } from './smtp-dialogue.ts';
import type { SmtpRules } from './smtp-message.ts';
import { Stop } from './moments.ts';
import { Unfinished } from './unfinished.ts';

const NOTHING = Buffer.alloc(0);
const ANYTHING: SmtpRules = { sender: () => undefined, header: () => undefined };

export class SmtpKeeper implements SessionKeeper {
  readonly #options: KeeperOptions;
  readonly #dialogue: SmtpDialogue;
  readonly #stop = new Stop();
  #relay!: RunningRelay;
  #gone = false;
  /** The server refused a message before its end, and was dropped. */
  #dropped = false;
  /** What the client sent while there was no server. */
  readonly #waiting = new Unfinished();
  readonly mayBeSilent = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#dialogue = new SmtpDialogue(options.mail ?? ANYTHING, options.signedIn.capabilities);
  }

  attach(relay: RunningRelay): void {
    this.#relay = relay;
  }

  fromClient(bytes: Buffer): Buffer {
    if (this.#gone) {
      const first = this.#waiting.length === 0;
      this.#waiting.add(bytes);
      this.#relay.pauseClient(true);
      if (first) void this.#succeed().catch(this.#options.fault);
      return NOTHING;
    }
    const refusing = this.#dialogue.refusing;
    const { pass, say, cut, rest } = this.#dialogue.fromClient(bytes);
    this.#tell();
    // The text goes no further: a server that has not seen its end delivers nothing of it (RFC 5321 §4.1.1.4).
    if (!refusing && (this.#dialogue.refusing || rest !== undefined)) {
      this.#dropped = true;
      this.#relay.dropServer();
    }
    if (say !== undefined) this.#relay.toClient(say);
    if (cut !== undefined) {
      if (this.#dialogue.speakable) this.#relay.cut(`${cut}\r\n`, 'error');
      else this.#relay.cut(undefined, 'error');
      return NOTHING;
    }
    if (rest !== undefined) {
      this.#gone = true;
      this.#dropped = false;
      if (rest.length > 0) this.fromClient(rest);
      return NOTHING;
    }
    if (this.#dialogue.early) this.#relay.pauseClient(true);
    return this.#dialogue.refusing ? NOTHING : pass;
  }

  fromServer(bytes: Buffer): Buffer {
    const told = this.#dialogue.fromServer(bytes);
    this.#tell();
    return told;
  }

  get held(): number {
    return this.#dialogue.held + this.#waiting.memory;
  }

  get owing(): boolean {
    return this.#waiting.length > 0 || this.#dialogue.owing;
  }

  /** What a program sent without waiting for an answer that it depends on is text or commands only now. */
  passed(): void {
    if (this.#dialogue.refusing && !this.#dropped) {
      this.#dropped = true;
      this.#relay.dropServer();
    }
    if (this.#gone || !this.#dialogue.waiting) return;
    const pass = this.fromClient(this.#dialogue.takeEarly());
    if (pass.length > 0) this.#relay.toServer(pass);
    if (this.#waiting.length === 0 && !this.#dialogue.early) this.#relay.pauseClient(false);
  }

  #tell(): void {
    for (const ended of this.#dialogue.takeEnded()) this.#options.onMessage?.(ended);
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

  get rest(): 'between' | 'none' {
    return this.#dialogue.idle && this.#waiting.length === 0 ? 'between' : 'none';
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
      this.#dialogue.restart(connection.capabilities);
      this.#gone = false;
      this.#relay.replaceServer(connection.conn.detach());
      const pass = this.fromClient(this.#waiting.take());
      if (pass.length > 0) this.#relay.toServer(pass);
      if (!this.#dialogue.early) this.#relay.pauseClient(false);
      onMoved('server-gone', connection, clock.now() - started);
    } catch (error) {
      if (this.#stop.stopped) return;
      const { code, message } = asError(error);
      log.warn({ code }, `the session could not be moved: ${message}`);
      this.#relay.cut(this.#last(message), 'server-closed');
    }
  }

  #last(text: string): string {
    return `421 4.4.2 ${this.#options.hostname} ${asciiLine(text, 300)}\r\n`;
  }
}
