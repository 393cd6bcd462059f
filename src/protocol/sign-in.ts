/** What the three server halves share: the commands before sign-in, and how a verdict is put into words. */
import { asciiLine } from '../base/ascii-line.ts';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { isError, type PosternError } from '../base/error.ts';
import { outside, withoutPaths } from '../base/outside.ts';
import { replyTo } from '../base/replies.ts';
import type { Credentials, MechanismName, ServerMechanism } from './sasl/mechanism.ts';
import { bearerFailure, offeredMechanisms, serverMechanism } from './sasl/mechanisms.ts';
import { CANCEL, decodeInitial, decodeResponse, encodeResponse } from './sasl/line.ts';
import type { Conn } from './wire/conn.ts';

export interface SignInOptions {
  /** Our name in greetings. */
  readonly hostname: string;
  /** Does the TLS handshake; STARTTLS is offered when set and the connection is still plain. */
  readonly secure?: (plain: Socket) => Promise<TLSSocket>;
  /** Sign-in without TLS is allowed (loopback). */
  readonly allowPlain: boolean;
  /** Offer XOAUTH2 and OAUTHBEARER too. */
  readonly bearer: boolean;
  /** Most octets of a line. RFC 4954 §4 wants 12,288 for AUTH. */
  readonly lineOctets: number;
  /** Most octets of a literal (IMAP). */
  readonly literalOctets: number;
  /** Failed sign-ins before the connection is closed. */
  readonly maxFailures: number;
  readonly signal?: AbortSignal;
  /** SMTP EHLO or POP3 CAPA lines the path behind can honour. */
  readonly extensions?: () => Promise<readonly string[]>;
  /** Judges credentials; may take seconds, during which nothing more is read. Must not reject. */
  verify(credentials: Credentials): Promise<Verdict>;
}

export type Verdict =
  /** `capabilities`: announced in IMAP's tagged OK. */
  | { readonly type: 'accept'; readonly capabilities?: readonly string[]; readonly text?: string }
  /** `bye`: close the connection after the answer. */
  | { readonly type: 'refuse'; readonly error: PosternError; readonly bye?: boolean };

export interface SignedIn {
  readonly mechanism: MechanismName;
  readonly user: string;
}

/** Commands nobody needs before sign-in: a program that sends so many is guessing or not speaking this protocol. */
export const MAX_BAD_COMMANDS = 10;

/** Commands of any sort before sign-in. Programs need five; the limit on time alone would let thousands be answered. */
export const MAX_COMMANDS = 100;

/**
 * An HTTP request line (RFC 9112 §3), of any method: a browser, or another program that is made to ask, sends commands in its body
 * (cross-protocol attack).
 */
export const HTTP = /^[!-~]+ \S+ HTTP\/\d/i;

/** What an SMTP server says to it, before it leaves. */
export const NO_WEB_SERVER = '421 4.7.0 this is an SMTP server, not a web server';

/** A line that breaks the bounds or is no line. The connection cannot be used further. */
export function isUnreadable(error: unknown): error is PosternError {
  return isError(error) && /^wire\.(?:line-too-long|literal-too-long|bare-newline)$/.test(error.code);
}

/** What happened and what to do, as one line any of the protocols can carry: printable ASCII, bounded. */
export function replyText(error: PosternError): string {
  const { message, hint } = outside(error);
  return oneLine(`${message} (${hint})`);
}

/** Any text as part of a reply: printable ASCII, bounded, without paths of files. */
export function oneLine(words: string): string {
  return asciiLine(withoutPaths(words), MAX_TEXT);
}

/** RFC 5321 §4.5.3.1.5 and RFC 1939 §3 allow 512 octets for a reply line; codes and tag need some. */
const MAX_TEXT = 440;

/**
 * An EHLO or CAPA line of the path behind that may be announced: printable, starting as an extension does (RFC 5321 §4.1.1.1).
 * A line of one dot would end CAPA's answer, CR and LF would be replies of their own.
 */
export function isAnnounceable(line: string): boolean {
  return /^[A-Za-z0-9][\x20-\x7e]{0,499}$/.test(line);
}

/** Serves a connection by such a server until a sign-in has succeeded (pipelined commands stay unread in `conn`), or it is over. */
export function servedBy(Server: new (conn: Conn, options: SignInOptions) => SignInServer) {
  return (conn: Conn, options: SignInOptions): Promise<SignedIn | 'closed'> => new Server(conn, options).serve();
}

/** A sign-in, the end of the connection, or neither yet. */
export type Next = SignedIn | 'closed' | 'go-on';

/** Why a server has its last word. */
export type Ending = 'unreadable' | 'no-room' | 'timeout' | 'commands' | 'bad-commands' | 'failures' | 'dismissed';

/** What the servers say differently. */
export interface Words {
  readonly greeting: string;
  /** What stands before a challenge: `+ ` (RFC 9051 §6.2.2, RFC 5034 §4) or `334 ` (RFC 4954 §4). */
  readonly challenge: '+ ' | '334 ';
  readonly accepted: string;
  /** Which reply of the catalogue. */
  readonly refused: 'imap' | 'pop3' | 'smtpAuth';
  readonly cancelled: string;
  /** Goes before what is wrong. */
  readonly malformed: string;
  readonly unknownMechanism: string;
}

/** Greets and serves commands until a sign-in has succeeded or the connection is over. */
export abstract class SignInServer {
  protected readonly conn: Conn;
  protected readonly options: SignInOptions;
  #commands = 0;
  #bad = 0;
  #failures = 0;

  constructor(conn: Conn, options: SignInOptions) {
    this.conn = conn;
    this.options = options;
  }

  protected abstract get words(): Words;
  protected abstract answer(line: string, more: (string | Buffer)[]): Promise<Next>;
  /** Undefined: the connection ends without one. */
  protected abstract lastWord(why: Ending, text: string): string | undefined;

  async serve(): Promise<SignedIn | 'closed'> {
    try {
      await this.say(this.words.greeting);
      for (;;) {
        const command = await this.read();
        if (command === 'closed') return 'closed';
        if (++this.#commands > MAX_COMMANDS) return await this.#end('commands', 'too many commands before sign-in');
        const next = command === 'go-on' ? command : await this.answer(command[0] as string, command.slice(1));
        if (next !== 'go-on') return next;
      }
    } catch (error) {
      if (isUnreadable(error)) return this.#end('unreadable', error.message);
      if (isError(error, 'wire.no-room')) return this.#end('no-room', `${error.message}, try again later`);
      if (isError(error, 'wire.timeout')) return this.#end('timeout', 'nothing was received for too long');
      throw error;
    }
  }

  /** The line of the next command, in IMAP with its literals and what follows them; `go-on` when it was refused before its end. */
  protected async read(): Promise<(string | Buffer)[] | 'closed' | 'go-on'> {
    const line = await this.conn.line(this.options.lineOctets, this.options.signal);
    return line === undefined ? 'closed' : [line.toString('latin1')];
  }

  /** STARTTLS is offered now. */
  protected get securable(): boolean {
    return this.options.secure !== undefined && !this.conn.encrypted;
  }

  protected get mechanisms(): readonly MechanismName[] {
    return this.options.allowPlain || this.conn.encrypted ? offeredMechanisms(this.options.bearer) : [];
  }

  protected async startTls(unavailable: string, injected: string, begin: string): Promise<Next> {
    if (!this.securable) return this.wrong(unavailable);
    // Refused before the OK, so that nothing of it can be taken for an encrypted command (CVE-2011-0411).
    if (!this.conn.drained) return this.last(injected);
    await this.reply(begin);
    await this.conn.upgrade(this.options.secure!);
    return 'go-on';
  }

  /** Runs the server side of one SASL exchange (RFC 4422 §5) and judges what came of it. */
  protected async authenticate(name: string, initial: string | undefined): Promise<Next> {
    const { cancelled, malformed, unknownMechanism } = this.words;
    const mechanism = serverMechanism(name, this.mechanisms);
    if (!mechanism) return this.wrong(unknownMechanism);
    let outcome: Credentials | 'cancelled' | 'closed';
    try {
      outcome = await this.#exchange(mechanism, initial);
    } catch (error) {
      if (isError(error, 'sasl.malformed')) return this.wrong(`${malformed} ${error.message}`);
      throw error;
    }
    if (outcome === 'closed') return outcome;
    return outcome === 'cancelled' ? this.wrong(cancelled) : this.judge(outcome);
  }

  /** @throws sasl.malformed */
  async #exchange(
    mechanism: ServerMechanism,
    initial: string | undefined,
  ): Promise<Credentials | 'cancelled' | 'closed'> {
    let challenge = mechanism.first;
    let response = initial === undefined ? undefined : decodeInitial(initial);
    for (;;) {
      if (response === undefined) {
        const line = await this.#challenge(challenge);
        if (line === undefined) return 'closed';
        if (line === CANCEL) return 'cancelled';
        response = decodeResponse(line.trimEnd());
      }
      const step = mechanism.next(response);
      if (step.type === 'credentials') return step.credentials;
      challenge = step.send;
      response = undefined;
    }
  }

  protected async judge(credentials: Credentials): Promise<Next> {
    const verdict = await this.options.verify(credentials);
    if (verdict.type === 'accept') {
      await this.reply(`${this.accepted(verdict.capabilities)} ${oneLine(verdict.text ?? 'signed in')}`);
      return { mechanism: credentials.mechanism, user: credentials.user };
    }
    // RFC 7628 §3.2.3, Google "XOAUTH2 mechanism": a JSON report before a bearer token is refused, and the client's answer to it,
    // whose content does not matter. Only for `denied`: it tells programs to renew the token.
    const report = verdict.error.kind === 'denied' ? bearerFailure(credentials.mechanism) : undefined;
    if (report !== undefined && (await this.#challenge(report)) === undefined) return 'closed';
    await this.reply(`${replyTo(verdict.error)[this.words.refused]} ${replyText(verdict.error)}`);
    if (verdict.bye === true) return this.#end('dismissed', 'closing the connection');
    return ++this.#failures >= this.options.maxFailures ? this.#end('failures', 'too many failed sign-ins') : 'go-on';
  }

  protected accepted(_capabilities: readonly string[] | undefined): string {
    return this.words.accepted;
  }

  /** A command that is none, or comes at the wrong time. */
  protected async wrong(reply: string): Promise<'closed' | 'go-on'> {
    await this.reply(reply);
    return ++this.#bad >= MAX_BAD_COMMANDS ? this.#end('bad-commands', 'too many bad commands') : 'go-on';
  }

  /** To the command under way. */
  protected reply(text: string): Promise<'go-on'> {
    return this.say(text);
  }

  /** @param text without the last CRLF */
  protected async say(text: string): Promise<'go-on'> {
    await this.conn.write(`${text}\r\n`);
    return 'go-on';
  }

  protected async last(text: string): Promise<'closed'> {
    await this.say(text);
    return 'closed';
  }

  async #end(why: Ending, text: string): Promise<'closed'> {
    const word = this.lastWord(why, text);
    return word === undefined ? 'closed' : this.last(word);
  }

  async #challenge(octets: Buffer): Promise<string | undefined> {
    await this.say(`${this.words.challenge}${encodeResponse(octets)}`);
    return (await this.conn.line(this.options.lineOctets, this.options.signal))?.toString('latin1');
  }
}
