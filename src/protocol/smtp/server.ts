/** SMTP submission until sign-in, server side: RFC 5321 §4.1, RFC 4954 AUTH, RFC 3207 STARTTLS, RFC 6409. */
import { replyTo } from '../../base/replies.ts';
import { isError } from '../../base/error.ts';
import { offeredMechanisms } from '../sasl/mechanisms.ts';
import type { Credentials, MechanismName } from '../sasl/mechanism.ts';
import {
  exchange,
  HTTP,
  isAnnounceable,
  isUnreadable,
  MAX_BAD_COMMANDS,
  MAX_COMMANDS,
  oneLine,
  reportFailure,
  replyText,
  type SignedIn,
  type SignInOptions,
  TOO_MANY,
} from '../sign-in.ts';
import type { Conn } from '../wire/conn.ts';
import { commandWords } from './command-line.ts';

/**
 * Greets and serves until a sign-in succeeds. Resolves once its 235 is written (pipelined commands stay unread in `conn`), or
 * with `closed` when the connection is over.
 * @throws wire.* when the connection breaks; the signal's reason
 */
export async function serveSignIn(conn: Conn, options: SignInOptions): Promise<SignedIn | 'closed'> {
  return new BeforeMail(conn, options).serve();
}

/** Told before a provider is known; every submission server of today has these. */
const MODEST_EXTENSIONS = ['8BITMIME', 'ENHANCEDSTATUSCODES'];

type Next = SignedIn | 'closed' | 'go-on';

class BeforeMail {
  readonly #conn: Conn;
  readonly #options: SignInOptions;
  #commands = 0;
  #bad = 0;
  #failures = 0;

  constructor(conn: Conn, options: SignInOptions) {
    this.#conn = conn;
    this.#options = options;
  }

  async serve(): Promise<SignedIn | 'closed'> {
    const { hostname, lineOctets, signal } = this.#options;
    try {
      await this.#conn.write(`220 ${hostname} ESMTP Postern ready\r\n`);
      for (;;) {
        const octets = await this.#conn.line(lineOctets, signal);
        if (octets === undefined) return 'closed';
        if (++this.#commands > MAX_COMMANDS) return await this.#last(`421 4.7.0 ${hostname} ${TOO_MANY}`);
        const next = await this.#answer(octets.toString('latin1'));
        if (next !== 'go-on') return next;
      }
    } catch (error) {
      if (isUnreadable(error)) return this.#last(`500 5.5.2 ${error.message}`);
      if (isError(error, 'wire.no-room')) return this.#last(`421 4.3.2 ${hostname} ${error.message}, try again later`);
      if (isError(error, 'wire.timeout')) return this.#last(`421 4.4.2 ${hostname} nothing was received for too long`);
      throw error;
    }
  }

  #mechanisms(): readonly MechanismName[] {
    return this.#options.allowPlain || this.#conn.encrypted ? offeredMechanisms(this.#options.bearer) : [];
  }

  async #answer(line: string): Promise<Next> {
    // A browser on this port sends its headers next: a page could hide commands there.
    if (HTTP.test(line)) return this.#last('421 4.7.0 this is an SMTP server, not a web server');
    const { hostname, secure } = this.#options;
    const { verb, argument } = commandWords(line);
    switch (verb) {
      case 'EHLO':
        return this.#go(await this.#ehlo());
      case 'HELO':
        return this.#go(`250 ${hostname}\r\n`);
      case 'STARTTLS':
        if (secure === undefined || this.#conn.encrypted) return this.#wrong('503 5.5.1 STARTTLS is not available now');
        if (argument !== '') return this.#wrong('501 5.5.4 STARTTLS takes no parameters');
        // Refused before the 220, so that nothing of it can be taken for an encrypted command (CVE-2011-0411).
        if (!this.#conn.drained) return this.#last('554 5.5.1 plain text was sent together with STARTTLS');
        await this.#conn.write('220 2.0.0 begin TLS negotiation now\r\n');
        await this.#conn.upgrade(secure);
        return 'go-on';
      case 'AUTH':
        return this.#auth(argument);
      case 'NOOP':
      case 'RSET':
        return this.#go('250 2.0.0 OK\r\n');
      case 'HELP':
        return this.#go('214 2.0.0 sign in with AUTH, then send mail\r\n');
      case 'VRFY':
        return this.#go('252 2.5.0 send mail to find out\r\n');
      case 'QUIT':
        return this.#last(`221 2.0.0 ${hostname} see you`);
      case 'MAIL':
      case 'RCPT':
      case 'DATA':
      case 'BDAT':
      case 'EXPN':
      case 'ETRN':
        return this.#wrong('530 5.7.0 sign in with AUTH first');
      default:
        return this.#wrong('500 5.5.1 unknown command');
    }
  }

  async #ehlo(): Promise<string> {
    const extensions = (await this.#options.extensions?.()) ?? MODEST_EXTENSIONS;
    const mechanisms = this.#mechanisms().join(' ');
    const lines = [
      this.#options.hostname,
      ...extensions.filter((line) => isAnnounceable(line) && !/^(?:AUTH|STARTTLS)\b/i.test(line)),
      ...(this.#options.secure !== undefined && !this.#conn.encrypted ? ['STARTTLS'] : []),
      // Old Outlook and several printers know only the form with `=`.
      ...(mechanisms === '' ? [] : [`AUTH ${mechanisms}`, `AUTH=${mechanisms}`]),
    ];
    return lines.map((line, at) => `250${at === lines.length - 1 ? ' ' : '-'}${line}\r\n`).join('');
  }

  async #auth(argument: string): Promise<Next> {
    const mechanisms = this.#mechanisms();
    if (mechanisms.length === 0)
      return this.#wrong(
        this.#options.secure === undefined ? '503 5.5.1 AUTH is not available' : '530 5.7.0 use STARTTLS first',
      );
    const [name = '', initial, ...more] = argument.split(/ +/);
    if (name === '' || more.length > 0) return this.#wrong('501 5.5.4 AUTH takes a mechanism and at most one response');
    const result = await exchange(this.#conn, name, initial, '334 ', mechanisms, this.#options);
    switch (result.type) {
      case 'credentials':
        return this.#judge(result.credentials);
      case 'closed':
        return 'closed';
      case 'cancelled':
        return this.#wrong('501 5.7.0 AUTH cancelled');
      case 'malformed':
        return this.#wrong(`501 5.5.2 ${result.error.message}`);
      case 'unknown-mechanism':
        return this.#wrong('504 5.5.4 this mechanism is not offered');
    }
  }

  async #judge(credentials: Credentials): Promise<Next> {
    const verdict = await this.#options.verify(credentials);
    if (verdict.type === 'accept') {
      await this.#conn.write(`235 2.7.0 ${oneLine(verdict.text ?? 'signed in')}\r\n`);
      return { mechanism: credentials.mechanism, user: credentials.user };
    }
    if ((await reportFailure(this.#conn, credentials, verdict.error, '334 ', this.#options)) === 'closed')
      return 'closed';
    await this.#conn.write(`${replyTo(verdict.error).smtpAuth} ${replyText(verdict.error)}\r\n`);
    if (verdict.bye !== true && ++this.#failures < this.#options.maxFailures) return 'go-on';
    return this.#last(`421 4.7.0 ${this.#options.hostname} too many failed sign-ins`);
  }

  async #wrong(text: string): Promise<Next> {
    await this.#conn.write(`${text}\r\n`);
    return ++this.#bad >= MAX_BAD_COMMANDS
      ? this.#last(`421 4.7.0 ${this.#options.hostname} too many bad commands`)
      : 'go-on';
  }

  async #go(text: string): Promise<Next> {
    await this.#conn.write(text);
    return 'go-on';
  }

  async #last(text: string): Promise<'closed'> {
    await this.#conn.write(`${text}\r\n`);
    return 'closed';
  }
}
