/** SMTP submission until sign-in, server side: RFC 5321 §4.1, RFC 4954 AUTH, RFC 3207 STARTTLS, RFC 6409. */
import {
  type Ending,
  HTTP,
  isAnnounceable,
  type Next,
  NO_WEB_SERVER,
  servedBy,
  SignInServer,
  type Words,
} from '../sign-in.ts';
import { commandWords, ehloReply } from './command-line.ts';

/** Told before a provider is known; every submission server of today has these. */
const MODEST_EXTENSIONS = ['8BITMIME', 'ENHANCEDSTATUSCODES'];

class BeforeMail extends SignInServer {
  protected get words(): Words {
    return {
      greeting: `220 ${this.options.hostname} ESMTP Postern ready`,
      challenge: '334 ',
      accepted: '235 2.7.0',
      refused: 'smtpAuth',
      cancelled: '501 5.7.0 AUTH cancelled',
      malformed: '501 5.5.2',
      unknownMechanism: '504 5.5.4 this mechanism is not offered',
    };
  }

  protected lastWord(why: Ending, text: string): string {
    if (why === 'unreadable') return `500 5.5.2 ${text}`;
    const code = why === 'no-room' ? '4.3.2' : why === 'timeout' ? '4.4.2' : '4.7.0';
    return `421 ${code} ${this.options.hostname} ${why === 'dismissed' ? 'too many failed sign-ins' : text}`;
  }

  protected async answer(line: string): Promise<Next> {
    // A browser on this port sends its headers next: a page could hide commands there.
    if (HTTP.test(line)) return this.last(NO_WEB_SERVER);
    const { hostname } = this.options;
    const { verb, argument } = commandWords(line);
    switch (verb) {
      case 'EHLO':
        return this.reply(await this.#ehlo());
      case 'HELO':
        return this.reply(`250 ${hostname}`);
      case 'STARTTLS':
        if (this.securable && argument !== '') return this.wrong('501 5.5.4 STARTTLS takes no parameters');
        return this.startTls(
          '503 5.5.1 STARTTLS is not available now',
          '554 5.5.1 plain text was sent together with STARTTLS',
          '220 2.0.0 begin TLS negotiation now',
        );
      case 'AUTH':
        return this.#auth(argument);
      case 'NOOP':
      case 'RSET':
        return this.reply('250 2.0.0 OK');
      case 'HELP':
        return this.reply('214 2.0.0 sign in with AUTH, then send mail');
      case 'VRFY':
        return this.reply('252 2.5.0 send mail to find out');
      case 'QUIT':
        return this.last(`221 2.0.0 ${hostname} see you`);
      case 'MAIL':
      case 'RCPT':
      case 'DATA':
      case 'BDAT':
      case 'EXPN':
      case 'ETRN':
        return this.wrong('530 5.7.0 sign in with AUTH first');
      default:
        return this.wrong('500 5.5.1 unknown command');
    }
  }

  async #ehlo(): Promise<string> {
    const extensions = (await this.options.extensions?.()) ?? MODEST_EXTENSIONS;
    const mechanisms = this.mechanisms.join(' ');
    const lines = [
      this.options.hostname,
      ...extensions.filter((line) => isAnnounceable(line) && !/^(?:AUTH|STARTTLS)\b/i.test(line)),
      ...(this.securable ? ['STARTTLS'] : []),
      // Old Outlook and several printers know only the form with `=`.
      ...(mechanisms === '' ? [] : [`AUTH ${mechanisms}`, `AUTH=${mechanisms}`]),
    ];
    return ehloReply(lines);
  }

  async #auth(argument: string): Promise<Next> {
    if (this.mechanisms.length === 0)
      return this.wrong(
        this.options.secure === undefined ? '503 5.5.1 AUTH is not available' : '530 5.7.0 use STARTTLS first',
      );
    const [name = '', initial, ...more] = argument.split(/ +/);
    if (name === '' || more.length > 0) return this.wrong('501 5.5.4 AUTH takes a mechanism and at most one response');
    return this.authenticate(name, initial);
  }
}

/** Greets and serves until a sign-in succeeds. Resolves once its 235 is written, or with `closed`. @throws wire.* when the connection breaks; the signal's reason */
export const serveSignIn = servedBy(BeforeMail);
