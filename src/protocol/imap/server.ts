/** IMAP until sign-in, server side: RFC 9051 §6.1–6.2 (as IMAP4rev1, RFC 3501), RFC 7888 literals, RFC 4959 SASL-IR, RFC 2971 ID. */
import { asciiUpper } from '../../base/case.ts';
import { asError, isError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { protocolError } from '../errors.ts';
import { utf8 } from '../sasl/line.ts';
import type { Credentials } from '../sasl/mechanism.ts';
import { type Ending, HTTP, type Next, servedBy, SignInServer, type Words } from '../sign-in.ts';
import { announcedLiteral, CommandReader, type Segment } from './token.ts';

/** RFC 9051 §9: a tag is any ASTRING-CHAR but `+`. */
const TAG = /^[^\x00-\x20\x7f-\xff(){%*"\\+]{1,64}$/;
/** RFC 9051 §9: a capability is an atom, here without the bracket that would end the list. */
const CAPABILITY = /^[^\x00-\x20\x7f-\uffff(){%*"\\\]]+$/;
/** RFC 7888 §5: LITERAL- stops at this size; beyond it a client must wait. Reading more before sign-in is never needed. */
const LITERALS_PER_COMMAND = 4;
/** RFC 2971 §3.3: 30 fields with 30 values. */
const LITERALS_OF_ID = 60;
const LONGEST_TAG = 64;
const ID = /^[^ ]{1,64} ID(?: |$)/i;
/** Octets of a command with its literals: the longest ID (RFC 2971 §3.3) has half of it. */
const MAX_COMMAND = 64 * 1024;

class NotAuthenticated extends SignInServer {
  /** Of the command under way. */
  #tag = '*';

  protected get words(): Words {
    return {
      greeting: `* OK [CAPABILITY ${this.#capabilities()}] ${this.options.hostname} Postern ready`,
      challenge: '+ ',
      accepted: 'OK',
      refused: 'imap',
      cancelled: 'BAD AUTHENTICATE cancelled',
      malformed: 'BAD',
      unknownMechanism: 'NO [CANNOT] this mechanism is not offered',
    };
  }

  protected lastWord(why: Ending, text: string): string {
    return why === 'no-room' ? `* BYE [UNAVAILABLE] ${text}` : `* BYE ${text}`;
  }

  protected override accepted(capabilities: readonly string[] | undefined): string {
    const names = capabilities?.filter((name) => CAPABILITY.test(name));
    return names === undefined ? 'OK' : `OK [CAPABILITY ${names.join(' ')}]`;
  }

  #capabilities(): string {
    const mechanisms = this.mechanisms.map((name) => ` AUTH=${name}`);
    const starttls = this.securable ? ' STARTTLS' : '';
    const disabled = this.options.allowPlain || this.conn.encrypted ? '' : ' LOGINDISABLED';
    return `IMAP4rev1 SASL-IR LITERAL+ ID${starttls}${disabled}${mechanisms.join('')}`;
  }

  /** One command with its literals; `go-on` when it was refused before its end. */
  protected override async read(): Promise<Segment[] | 'closed' | 'go-on'> {
    const { literalOctets, signal } = this.options;
    const segments: Segment[] = [];
    let kept = 0;
    this.conn.keep(0);
    for (;;) {
      const octets = await this.#line(segments[0]);
      if (octets === undefined) return 'closed';
      kept += octets.length;
      const line = octets.toString('latin1');
      const isId = ID.test(String(segments[0] ?? line));
      const literal = announcedLiteral(line);
      if (!literal) return [...segments, line];
      if (
        literal.octets > literalOctets ||
        kept + literal.octets > MAX_COMMAND ||
        segments.length / 2 >= (isId ? LITERALS_OF_ID : LITERALS_PER_COMMAND)
      ) {
        const tooBig = protocolError(
          'wire.literal-too-long',
          `a literal may have ${literalOctets} octets before sign-in`,
        );
        // One that does not wait is on its way already, and could only be skipped by reading it.
        if (!literal.waits) throw tooBig;
        this.#tag = tagOf(segments[0] ?? line);
        return this.wrong(`BAD [TOOBIG] ${tooBig.message}`);
      }
      this.conn.keep(kept);
      if (literal.waits) await this.say('+ go ahead');
      segments.push(literal.text, await this.conn.counted(literal.octets, signal));
      kept += literal.octets;
      this.conn.keep(kept);
    }
  }

  /** A line of a command that begins so; no other than an ID may be longer than usual, and no more than that is kept of it. */
  async #line(begins: Segment | undefined): Promise<Buffer | undefined> {
    const { lineOctets, signal } = this.options;
    try {
      return await this.conn.line(lineOctets, signal);
    } catch (error) {
      const isLong = isError(error, 'wire.line-too-long') && lineOctets < MAX_COMMAND;
      if (!isLong || !ID.test(String(begins ?? this.conn.start(LONGEST_TAG + 4)))) throw error;
      return this.conn.line(MAX_COMMAND, signal);
    }
  }

  protected async answer(line: string, more: Segment[]): Promise<Next> {
    if (HTTP.test(line)) return this.last('* BYE this is an IMAP server, not a web server');
    const [, tag = '', name = '', rest = ''] = /^([^ ]*) ?([^ ]*)(.*)$/s.exec(line) ?? [];
    this.#tag = TAG.test(tag) ? tag : '*';
    if (this.#tag === '*') return this.wrong('BAD a command starts with a tag');
    if (more.length > 0 && !/^(?:LOGIN|ID)$/i.test(name)) return this.wrong('BAD no literal belongs here');
    switch (asciiUpper(name)) {
      case 'CAPABILITY':
        return this.say(`* CAPABILITY ${this.#capabilities()}\r\n${tag} OK CAPABILITY completed`);
      case 'NOOP':
        return this.reply('OK NOOP completed');
      case 'ID':
        return this.say(`* ID ("name" "Postern")\r\n${tag} OK ID completed`);
      case 'LOGOUT':
        return this.last(`* BYE see you\r\n${tag} OK LOGOUT completed`);
      case 'STARTTLS':
        return this.startTls(
          'BAD STARTTLS is not available now',
          '* BYE plain text was sent together with STARTTLS',
          'OK begin TLS negotiation now',
        );
      case 'LOGIN':
        return this.#login([rest, ...more]);
      case 'AUTHENTICATE':
        return this.#authenticate(rest.trim());
      default:
        return this.wrong(KNOWN.has(asciiUpper(name)) ? 'BAD sign in first' : 'BAD unknown command');
    }
  }

  async #login(segments: Segment[]): Promise<Next> {
    if (this.mechanisms.length === 0) return this.#private();
    let credentials: Credentials;
    try {
      const reader = new CommandReader(segments);
      reader.space();
      const user = utf8(reader.astring());
      reader.space();
      const secret = Secret.offered(utf8(reader.astring()));
      reader.end();
      credentials = { mechanism: 'LOGIN', user, secret };
    } catch (error) {
      return this.wrong(`BAD ${asError(error).message}`);
    }
    return this.judge(credentials);
  }

  async #authenticate(rest: string): Promise<Next> {
    if (this.mechanisms.length === 0) return this.#private();
    const [name = '', initial, ...more] = rest.split(' ');
    if (more.length > 0) return this.wrong('BAD AUTHENTICATE takes a mechanism and at most one response');
    return this.authenticate(name, initial);
  }

  #private(): Promise<'go-on'> {
    return this.reply('NO [PRIVACYREQUIRED] use STARTTLS first');
  }

  protected override reply(text: string): Promise<'go-on'> {
    return this.say(`${this.#tag} ${text}`);
  }
}

/** Greets and serves the not-authenticated state. Resolves once the tagged OK of a sign-in is written, or with `closed`. @throws wire.* when the connection breaks; the signal's reason */
export const serveSignIn = servedBy(NotAuthenticated);

/** RFC 9051 §6.3–6.4: known, but only after sign-in. */
const KNOWN = new Set(
  'SELECT EXAMINE CREATE DELETE RENAME SUBSCRIBE UNSUBSCRIBE LIST LSUB NAMESPACE STATUS APPEND IDLE CLOSE UNSELECT EXPUNGE SEARCH FETCH STORE COPY MOVE UID CHECK ENABLE'.split(
    ' ',
  ),
);

function tagOf(segment: Segment): string {
  const tag = String(segment).split(' ')[0]!;
  return TAG.test(tag) ? tag : '*';
}
