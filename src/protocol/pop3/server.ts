/** POP3's AUTHORIZATION state, server side: RFC 1939 §4 and §7 (USER, PASS), RFC 2449 CAPA, RFC 2595 STLS, RFC 5034 AUTH. */
import { asciiUpper } from '../../base/case.ts';
import { asError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { utf8 } from '../sasl/line.ts';
import type { Credentials } from '../sasl/mechanism.ts';
import { type Ending, HTTP, isAnnounceable, type Next, servedBy, SignInServer, type Words } from '../sign-in.ts';

class Authorization extends SignInServer {
  #user: string | undefined;

  protected get words(): Words {
    return {
      greeting: `+OK ${this.options.hostname} Postern ready`,
      challenge: '+ ',
      accepted: '+OK',
      refused: 'pop3',
      cancelled: '-ERR AUTH cancelled',
      malformed: '-ERR',
      unknownMechanism: '-ERR this mechanism is not offered',
    };
  }

  protected lastWord(why: Ending, text: string): string | undefined {
    if (why === 'unreadable' || why === 'commands') return `-ERR ${text}`;
    // RFC 1939 §3: a timed-out session ends without a word. Who was refused has had a reply.
    return why === 'no-room' ? `-ERR [SYS/TEMP] ${text}` : undefined;
  }

  protected async answer(line: string): Promise<Next> {
    if (HTTP.test(line)) return this.last('-ERR this is a POP3 server, not a web server');
    const [, name = '', argument] = /^([^ ]*)(?: (.*))?$/s.exec(line) ?? [];
    switch (asciiUpper(name)) {
      case 'CAPA':
        return this.reply(await this.#capa());
      case 'NOOP': // not in this state by RFC 1939 §5, but harmless and used as a probe
        return this.reply('+OK');
      case 'QUIT':
        return this.last('+OK see you');
      case 'STLS': {
        const plain = !this.conn.encrypted;
        const next = await this.startTls(
          '-ERR STLS is not available now',
          '-ERR plain text was sent together with STLS',
          '+OK begin TLS negotiation now',
        );
        if (plain && this.conn.encrypted) this.#user = undefined;
        return next;
      }
      case 'USER':
        if (this.mechanisms.length === 0) return this.#private();
        if (argument === undefined || argument === '') return this.wrong('-ERR USER takes the mailbox address');
        this.#user = argument;
        return this.reply('+OK now the password');
      case 'PASS':
        return this.#pass(argument);
      case 'AUTH':
        return this.#auth(argument?.trim() ?? '');
      default:
        return this.wrong(KNOWN.has(asciiUpper(name)) ? '-ERR sign in first' : '-ERR unknown command');
    }
  }

  async #capa(): Promise<string> {
    const extensions = (await this.options.extensions?.()) ?? ['TOP', 'UIDL'];
    const mechanisms = this.mechanisms;
    const own = [
      ...(mechanisms.length > 0 ? ['USER', `SASL ${mechanisms.join(' ')}`] : []),
      ...(this.securable ? ['STLS'] : []),
      'RESP-CODES',
      'AUTH-RESP-CODE',
      // Commands are taken from the stream one after another (RFC 2449 §6.6); what follows a sign-in is the session's.
      'PIPELINING',
    ];
    const others = extensions.filter(
      (line) => isAnnounceable(line) && !/^(?:USER|SASL|STLS|RESP-CODES|AUTH-RESP-CODE|PIPELINING)\b/i.test(line),
    );
    return `+OK capabilities follow\r\n${[...own, ...others].map((line) => `${line}\r\n`).join('')}.`;
  }

  async #pass(argument: string | undefined): Promise<Next> {
    const user = this.#user;
    this.#user = undefined;
    if (user === undefined) return this.wrong('-ERR USER comes first');
    // All that follows the space is the password, spaces included (RFC 1939 §7).
    let credentials: Credentials;
    try {
      credentials = {
        mechanism: 'PLAIN',
        user: utf8(Buffer.from(user, 'latin1')),
        secret: Secret.offered(utf8(Buffer.from(argument ?? '', 'latin1'))),
      };
    } catch (error) {
      return this.wrong(`-ERR ${asError(error).message}`);
    }
    return this.judge(credentials);
  }

  async #auth(argument: string): Promise<Next> {
    const mechanisms = this.mechanisms;
    // Without a mechanism it lists them: never standardised, still asked by old programs.
    if (argument === '') return this.reply(`+OK\r\n${mechanisms.map((name) => `${name}\r\n`).join('')}.`);
    if (mechanisms.length === 0) return this.#private();
    const [name = '', initial, ...more] = argument.split(' ');
    if (more.length > 0) return this.wrong('-ERR AUTH takes a mechanism and at most one response');
    return this.authenticate(name, initial);
  }

  /** Not AUTH, which programs take for a wrong password (RFC 3206 §5), but a matter of settings (§4). */
  #private(): Promise<'go-on'> {
    return this.reply('-ERR [SYS/PERM] use STLS first');
  }
}

/** Greets and serves the AUTHORIZATION state. Resolves once the +OK of a sign-in is written, or with `closed`. @throws wire.* when the connection breaks; the signal's reason */
export const serveSignIn = servedBy(Authorization);

/** RFC 1939 §5: known, but only after sign-in. */
const KNOWN = new Set('STAT LIST UIDL RETR TOP DELE RSET LAST UTF8 LANG'.split(' '));
