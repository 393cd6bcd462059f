/** POP3's AUTHORIZATION state, server side: RFC 1939 §4 and §7 (USER, PASS), RFC 2449 CAPA, RFC 2595 STLS, RFC 5034 AUTH. */
import { replyTo } from '../../base/replies.ts';
import { asciiUpper } from '../../base/case.ts';
import { asError, isError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { offeredMechanisms } from '../sasl/mechanisms.ts';
import { utf8 } from '../sasl/line.ts';
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

/**
 * Greets and serves the AUTHORIZATION state. Resolves once the +OK of a sign-in is written (pipelined commands stay unread in
 * `conn`), or with `closed` when the connection is over.
 * @throws wire.* when the connection breaks; the signal's reason
 */
export async function serveSignIn(conn: Conn, options: SignInOptions): Promise<SignedIn | 'closed'> {
  return new Authorization(conn, options).serve();
}

type Next = SignedIn | 'closed' | 'go-on';

class Authorization {
  readonly #conn: Conn;
  readonly #options: SignInOptions;
  #user: string | undefined;
  #commands = 0;
  #bad = 0;
  #failures = 0;

  constructor(conn: Conn, options: SignInOptions) {
    this.#conn = conn;
    this.#options = options;
  }

  async serve(): Promise<SignedIn | 'closed'> {
    try {
      await this.#conn.write(`+OK ${this.#options.hostname} Postern ready\r\n`);
      for (;;) {
        const octets = await this.#conn.line(this.#options.lineOctets, this.#options.signal);
        if (octets === undefined) return 'closed';
        if (++this.#commands > MAX_COMMANDS) return await this.#last(`-ERR ${TOO_MANY}`);
        const next = await this.#answer(octets);
        if (next !== 'go-on') return next;
      }
    } catch (error) {
      if (isUnreadable(error)) return this.#last(`-ERR ${error.message}`);
      if (isError(error, 'wire.no-room')) return this.#last(`-ERR [SYS/TEMP] ${error.message}, try again later`);
      if (isError(error, 'wire.timeout')) return 'closed'; // RFC 1939 §3: a timed-out session ends without a word
      throw error;
    }
  }

  #mechanisms(): readonly MechanismName[] {
    return this.#options.allowPlain || this.#conn.encrypted ? offeredMechanisms(this.#options.bearer) : [];
  }

  async #answer(octets: Buffer): Promise<Next> {
    const line = octets.toString('latin1');
    if (HTTP.test(line)) return this.#last('-ERR this is a POP3 server, not a web server');
    const [, name = '', argument] = /^([^ ]*)(?: (.*))?$/s.exec(line) ?? [];
    const { secure } = this.#options;
    switch (asciiUpper(name)) {
      case 'CAPA':
        return this.#go(await this.#capa());
      case 'NOOP': // not in this state by RFC 1939 §5, but harmless and used as a probe
        return this.#go('+OK\r\n');
      case 'QUIT':
        return this.#last('+OK see you');
      case 'STLS':
        if (secure === undefined || this.#conn.encrypted) return this.#wrong('STLS is not available now');
        // Refused before the +OK, so that nothing of it can be taken for an encrypted command (CVE-2011-0411).
        if (!this.#conn.drained) return this.#last('-ERR plain text was sent together with STLS');
        await this.#conn.write('+OK begin TLS negotiation now\r\n');
        await this.#conn.upgrade(secure);
        this.#user = undefined;
        return 'go-on';
      case 'USER':
        if (this.#mechanisms().length === 0) return this.#private();
        if (argument === undefined || argument === '') return this.#wrong('USER takes the mailbox address');
        this.#user = argument;
        return this.#go('+OK now the password\r\n');
      case 'PASS':
        return this.#pass(argument);
      case 'AUTH':
        return this.#auth(argument?.trim() ?? '');
      default:
        return this.#wrong(KNOWN.has(asciiUpper(name)) ? 'sign in first' : 'unknown command');
    }
  }

  async #capa(): Promise<string> {
    const extensions = (await this.#options.extensions?.()) ?? ['TOP', 'UIDL'];
    const mechanisms = this.#mechanisms();
    const own = [
      ...(mechanisms.length > 0 ? ['USER', `SASL ${mechanisms.join(' ')}`] : []),
      ...(this.#options.secure !== undefined && !this.#conn.encrypted ? ['STLS'] : []),
      'RESP-CODES',
      'AUTH-RESP-CODE',
      // Commands are taken from the stream one after another (RFC 2449 §6.6); what follows a sign-in is the session's.
      'PIPELINING',
    ];
    const others = extensions.filter(
      (line) => isAnnounceable(line) && !/^(?:USER|SASL|STLS|RESP-CODES|AUTH-RESP-CODE|PIPELINING)\b/i.test(line),
    );
    return `+OK capabilities follow\r\n${[...own, ...others].map((line) => `${line}\r\n`).join('')}.\r\n`;
  }

  async #pass(argument: string | undefined): Promise<Next> {
    const user = this.#user;
    this.#user = undefined;
    if (user === undefined) return this.#wrong('USER comes first');
    // All that follows the space is the password, spaces included (RFC 1939 §7).
    let credentials: Credentials;
    try {
      credentials = {
        mechanism: 'PLAIN',
        user: utf8(Buffer.from(user, 'latin1')),
        secret: Secret.offered(utf8(Buffer.from(argument ?? '', 'latin1'))),
      };
    } catch (error) {
      return this.#wrong(asError(error).message);
    }
    return this.#judge(credentials);
  }

  async #auth(argument: string): Promise<Next> {
    const mechanisms = this.#mechanisms();
    // Without a mechanism it lists them: never standardised, still asked by old programs.
    if (argument === '') return this.#go(`+OK\r\n${mechanisms.map((name) => `${name}\r\n`).join('')}.\r\n`);
    if (mechanisms.length === 0) return this.#private();
    const [name = '', initial, ...more] = argument.split(' ');
    if (more.length > 0) return this.#wrong('AUTH takes a mechanism and at most one response');
    const result = await exchange(this.#conn, name, initial, '+ ', mechanisms, this.#options);
    switch (result.type) {
      case 'credentials':
        return this.#judge(result.credentials);
      case 'closed':
        return 'closed';
      case 'cancelled':
        return this.#wrong('AUTH cancelled');
      case 'malformed':
        return this.#wrong(result.error.message);
      case 'unknown-mechanism':
        return this.#wrong('this mechanism is not offered');
    }
  }

  async #judge(credentials: Credentials): Promise<Next> {
    const verdict = await this.#options.verify(credentials);
    if (verdict.type === 'accept') {
      await this.#conn.write(`+OK ${oneLine(verdict.text ?? 'signed in')}\r\n`);
      return { mechanism: credentials.mechanism, user: credentials.user };
    }
    if ((await reportFailure(this.#conn, credentials, verdict.error, '+ ', this.#options)) === 'closed')
      return 'closed';
    await this.#conn.write(`${replyTo(verdict.error).pop3} ${replyText(verdict.error)}\r\n`);
    return verdict.bye === true || ++this.#failures >= this.#options.maxFailures ? 'closed' : 'go-on';
  }

  /** Not AUTH, which programs take for a wrong password (RFC 3206 §5), but a matter of settings (§4). */
  #private(): Promise<Next> {
    return this.#go('-ERR [SYS/PERM] use STLS first\r\n');
  }

  async #wrong(text: string): Promise<Next> {
    await this.#conn.write(`-ERR ${text}\r\n`);
    return ++this.#bad >= MAX_BAD_COMMANDS ? 'closed' : 'go-on';
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

/** RFC 1939 §5: known, but only after sign-in. */
const KNOWN = new Set('STAT LIST UIDL RETR TOP DELE RSET LAST UTF8 LANG'.split(' '));
