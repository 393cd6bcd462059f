/** IMAP until sign-in, server side: RFC 9051 §6.1–6.2 (as IMAP4rev1, RFC 3501), RFC 7888 literals, RFC 4959 SASL-IR, RFC 2971 ID. */
import { asciiUpper } from '../../base/case.ts';
import { replyTo } from '../../base/replies.ts';
import { asError, isError, type PosternError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { protocolError } from '../errors.ts';
import { offeredMechanisms } from '../sasl/mechanisms.ts';
import { utf8 } from '../sasl/line.ts';
import type { Credentials, MechanismName } from '../sasl/mechanism.ts';
import {
  exchange,
  HTTP,
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
import { announcedLiteral, CommandReader, type Segment } from './token.ts';

/**
 * Greets and serves the not-authenticated state. Resolves once the tagged OK of a sign-in is written (pipelined commands
 * stay unread in `conn`), or with `closed` when the connection is over.
 * @throws wire.* when the connection breaks; the signal's reason
 */
export async function serveSignIn(conn: Conn, options: SignInOptions): Promise<SignedIn | 'closed'> {
  return new NotAuthenticated(conn, options).serve();
}

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

type Next = SignedIn | 'closed' | 'go-on';

class NotAuthenticated {
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
    try {
      await this.#conn.write(`* OK [CAPABILITY ${this.#capabilities()}] ${this.#options.hostname} Postern ready\r\n`);
      for (;;) {
        const command = await this.#command();
        if (command !== 'closed' && ++this.#commands > MAX_COMMANDS) return await this.#bye(`BYE ${TOO_MANY}`);
        const next = typeof command === 'string' ? command : await this.#answer(command);
        if (next !== 'go-on') return next;
      }
    } catch (error) {
      if (isUnreadable(error)) return this.#bye(`BYE ${error.message}`);
      if (isError(error, 'wire.no-room')) return this.#bye(`BYE [UNAVAILABLE] ${error.message}, try again later`);
      if (isError(error, 'wire.timeout')) return this.#bye('BYE nothing was received for too long');
      throw error;
    }
  }

  #capabilities(): string {
    const { allowPlain, secure } = this.#options;
    const mechanisms = this.#mechanisms().map((name) => ` AUTH=${name}`);
    const starttls = secure !== undefined && !this.#conn.encrypted ? ' STARTTLS' : '';
    const disabled = allowPlain || this.#conn.encrypted ? '' : ' LOGINDISABLED';
    return `IMAP4rev1 SASL-IR LITERAL+ ID${starttls}${disabled}${mechanisms.join('')}`;
  }

  #mechanisms(): readonly MechanismName[] {
    return this.#options.allowPlain || this.#conn.encrypted ? offeredMechanisms(this.#options.bearer) : [];
  }

  /** One command with its literals; `go-on` when it was refused before its end. */
  async #command(): Promise<Segment[] | 'closed' | 'go-on'> {
    const { literalOctets, signal } = this.#options;
    const segments: Segment[] = [];
    let kept = 0;
    this.#conn.keep(0);
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
        return this.#wrong(tagOf(segments[0] ?? line), `[TOOBIG] ${tooBig.message}`);
      }
      this.#conn.keep(kept);
      if (literal.waits) await this.#write('+ go ahead\r\n');
      segments.push(literal.text, await this.#conn.counted(literal.octets, signal));
      kept += literal.octets;
      this.#conn.keep(kept);
    }
  }

  /** A line of a command that begins so; no other than an ID may be longer than usual, and no more than that is kept of it. */
  async #line(begins: Segment | undefined): Promise<Buffer | undefined> {
    const { lineOctets, signal } = this.#options;
    try {
      return await this.#conn.line(lineOctets, signal);
    } catch (error) {
      const isLong = isError(error, 'wire.line-too-long') && lineOctets < MAX_COMMAND;
      if (!isLong || !ID.test(String(begins ?? this.#conn.start(LONGEST_TAG + 4)))) throw error;
      return this.#conn.line(MAX_COMMAND, signal);
    }
  }

  async #answer(segments: Segment[]): Promise<Next> {
    const line = segments[0] as string;
    if (HTTP.test(line)) return this.#bye('BYE this is an IMAP server, not a web server');
    const [, tag = '', name = '', rest = ''] = /^([^ ]*) ?([^ ]*)(.*)$/s.exec(line) ?? [];
    if (!TAG.test(tag)) return this.#wrong('*', 'a command starts with a tag');
    if (segments.length > 1 && !/^(?:LOGIN|ID)$/i.test(name)) return this.#wrong(tag, 'no literal belongs here');
    const encrypted = this.#conn.encrypted;
    switch (asciiUpper(name)) {
      case 'CAPABILITY':
        return this.#go(`* CAPABILITY ${this.#capabilities()}\r\n${tag} OK CAPABILITY completed\r\n`);
      case 'NOOP':
        return this.#go(`${tag} OK NOOP completed\r\n`);
      case 'ID':
        return this.#go(`* ID ("name" "Postern")\r\n${tag} OK ID completed\r\n`);
      case 'LOGOUT':
        await this.#write(`* BYE see you\r\n${tag} OK LOGOUT completed\r\n`);
        return 'closed';
      case 'STARTTLS':
        if (this.#options.secure === undefined || encrypted) return this.#wrong(tag, 'STARTTLS is not available now');
        // Refused before the OK, so that nothing of it can be taken for an encrypted command (CVE-2011-0411).
        if (!this.#conn.drained) return this.#bye('BYE plain text was sent together with STARTTLS');
        await this.#write(`${tag} OK begin TLS negotiation now\r\n`);
        await this.#conn.upgrade(this.#options.secure);
        return 'go-on';
      case 'LOGIN':
        return this.#login(tag, [rest, ...segments.slice(1)]);
      case 'AUTHENTICATE':
        return this.#authenticate(tag, rest.trim());
      default:
        return this.#wrong(tag, KNOWN.has(asciiUpper(name)) ? 'sign in first' : 'unknown command');
    }
  }

  async #login(tag: string, segments: Segment[]): Promise<Next> {
    if (this.#mechanisms().length === 0) return this.#private(tag);
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
      return this.#wrong(tag, asError(error).message);
    }
    return this.#judge(tag, credentials);
  }

  async #authenticate(tag: string, rest: string): Promise<Next> {
    const mechanisms = this.#mechanisms();
    if (mechanisms.length === 0) return this.#private(tag);
    const [name = '', initial, ...more] = rest.split(' ');
    if (more.length > 0) return this.#wrong(tag, 'AUTHENTICATE takes a mechanism and at most one response');
    const result = await exchange(this.#conn, name, initial, '+ ', mechanisms, this.#options);
    switch (result.type) {
      case 'credentials':
        return this.#judge(tag, result.credentials);
      case 'closed':
        return 'closed';
      case 'cancelled':
        return this.#wrong(tag, 'AUTHENTICATE cancelled');
      case 'malformed':
        return this.#wrong(tag, result.error.message);
      case 'unknown-mechanism':
        this.#bad++;
        return this.#go(`${tag} NO [CANNOT] this mechanism is not offered\r\n`);
    }
  }

  async #judge(tag: string, credentials: Credentials): Promise<Next> {
    const verdict = await this.#options.verify(credentials);
    if (verdict.type === 'accept') {
      const capabilities = verdict.capabilities?.filter((name) => CAPABILITY.test(name));
      const announced = capabilities ? `[CAPABILITY ${capabilities.join(' ')}] ` : '';
      await this.#write(`${tag} OK ${announced}${oneLine(verdict.text ?? 'signed in')}\r\n`);
      return { mechanism: credentials.mechanism, user: credentials.user };
    }
    if ((await reportFailure(this.#conn, credentials, verdict.error, '+ ', this.#options)) === 'closed')
      return 'closed';
    await this.#write(`${tag} ${refusal(verdict.error)}\r\n`);
    if (verdict.bye === true) return this.#bye('BYE closing the connection');
    return ++this.#failures >= this.#options.maxFailures ? this.#bye('BYE too many failed sign-ins') : 'go-on';
  }

  #private(tag: string): Promise<Next> {
    return this.#go(`${tag} NO [PRIVACYREQUIRED] use STARTTLS first\r\n`);
  }

  async #wrong(tag: string, text: string): Promise<'closed' | 'go-on'> {
    await this.#write(`${tag} BAD ${text}\r\n`);
    return ++this.#bad >= MAX_BAD_COMMANDS ? this.#bye('BYE too many bad commands') : 'go-on';
  }

  async #go(text: string): Promise<Next> {
    await this.#write(text);
    return 'go-on';
  }

  async #bye(text: string): Promise<'closed'> {
    await this.#write(`* ${text}\r\n`);
    return 'closed';
  }

  #write(text: string): Promise<void> {
    return this.#conn.write(text);
  }
}

/** RFC 9051 §6.3–6.4: known, but only after sign-in. */
const KNOWN = new Set(
  'SELECT EXAMINE CREATE DELETE RENAME SUBSCRIBE UNSUBSCRIBE LIST LSUB NAMESPACE STATUS APPEND IDLE CLOSE UNSELECT EXPUNGE SEARCH FETCH STORE COPY MOVE UID CHECK ENABLE'.split(
    ' ',
  ),
);

function refusal(error: PosternError): string {
  return `${replyTo(error).imap} ${replyText(error)}`;
}

function tagOf(segment: Segment): string {
  const tag = String(segment).split(' ')[0]!;
  return TAG.test(tag) ? tag : '*';
}
