/** Handing mail to a server after sign-in, client side: RFC 5321 transactions, RFC 2920 PIPELINING, RFC 1870, RFC 3461, RFC 6531. */
import { asError, type PosternError } from '../../base/error.ts';
import { protocolError } from '../errors.ts';
import type { Conn } from '../wire/conn.ts';
import { readReply } from './reply.ts';
import { encodeXtext } from './envelope.ts';

export interface SmtpReply {
  readonly code: number;
  /** RFC 3463, `5.7.60`; undefined where the server gave none. */
  readonly enhanced: string | undefined;
  /** As it came, lines joined by a space. */
  readonly text: string;
}

export interface OutgoingRecipient {
  readonly address: string;
  readonly notify?: readonly string[];
  readonly orcpt?: string;
}

export interface Outgoing {
  /** Empty for reports. */
  readonly from: string;
  readonly recipients: readonly OutgoingRecipient[];
  /** Octets. */
  readonly size: number;
  readonly eightBit: boolean;
  readonly smtputf8: boolean;
  readonly ret?: 'FULL' | 'HDRS';
  readonly envid?: string;
  /** RFC 5322 octets with CRLF; made when it is known what the server said to each recipient. */
  readonly body: Octets | ((recipients: readonly SmtpReply[]) => Octets | Promise<Octets>);
}

type Octets = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export type SendResult =
  /** The server took it for those recipients it took; the others have their refusals. */
  | { readonly type: 'taken'; readonly reply: SmtpReply; readonly recipients: readonly SmtpReply[] }
  /** The server has not taken it: `reply` is the one that decided, `recipients` has what was said to each, if it was. */
  | { readonly type: 'refused'; readonly reply: SmtpReply; readonly recipients: readonly (SmtpReply | undefined)[] }
  /** Nobody knows: the connection was lost after the last octet was on its way, or what came was no answer to it. */
  | { readonly type: 'unknown'; readonly reason: string };

/** Octets written at once, at least. */
const BLOCK_OCTETS = 64 * 1024;
/** While a server does not read, this often (milliseconds) it is looked whether it has said something. */
const LOOK_MS = 250;

/** One signed-in connection; transactions one after the other. */
export class SmtpSender {
  readonly #conn: Conn;
  readonly #host: string;
  readonly #offers: ReadonlySet<string>;
  readonly #maxSize: number | undefined;
  #usable = true;
  /** Transactions begun. */
  sent = 0;

  /** @param extensions the server's EHLO lines */
  constructor(conn: Conn, host: string, extensions: readonly string[]) {
    this.#conn = conn;
    this.#host = host;
    this.#offers = new Set(extensions.map((line) => line.split(' ')[0]!.toUpperCase()));
    const size = extensions.find((line) => /^SIZE \d+/i.test(line));
    this.#maxSize = size === undefined ? undefined : Number(size.slice(5)) || undefined;
  }

  /** False once the connection broke or the server said that it ends it. */
  get usable(): boolean {
    return this.#usable && !this.#conn.closed;
  }

  offers(extension: string): boolean {
    return this.#offers.has(extension);
  }

  /**
   * Sends one message. What the server cannot take by its own word (size, 8-bit, UTF-8 addresses) is refused here, as it would.
   * Every reply is read as the answer to one command; a server that says more or other things than it was asked is out of step, and
   * its connection ends.
   * @throws wire.* when the connection broke, or got out of step, before the last octet was sent (nothing was taken); the signal's
   *   reason; what `body` throws
   */
  async send(message: Outgoing, signal?: AbortSignal): Promise<SendResult> {
    const early = this.#objection(message);
    if (early) return { type: 'refused', reply: early, recipients: [] };
    this.sent += 1;
    try {
      return await this.#transact(message, signal);
    } catch (error) {
      this.#usable = false;
      this.#conn.destroy();
      throw error;
    }
  }

  /** QUIT, without waiting for the answer longer than the connection lets us. */
  end(): void {
    this.#usable = false;
    this.#conn.end('QUIT\r\n');
  }

  #objection({ size, smtputf8 }: Outgoing): SmtpReply | undefined {
    if (this.#maxSize !== undefined && size > this.#maxSize)
      return {
        code: 552,
        enhanced: '5.3.4',
        text: `552 5.3.4 the message has ${size} octets, ${this.#host} takes ${this.#maxSize}`,
      };
    if (smtputf8 && !this.#offers.has('SMTPUTF8'))
      return { code: 553, enhanced: '5.6.7', text: `553 5.6.7 ${this.#host} takes no addresses or headers in UTF-8` };
    return undefined;
  }

  async #transact(message: Outgoing, signal: AbortSignal | undefined): Promise<SendResult> {
    const commands = [this.#mail(message), ...message.recipients.map((one) => this.#rcpt(one))];
    const pipelined = this.#offers.has('PIPELINING');
    await this.#assertInStep();
    if (pipelined) await this.#conn.write(`${[...commands, 'DATA'].join('\r\n')}\r\n`);
    const replies: SmtpReply[] = [];
    for (const command of commands) {
      if (!pipelined) await this.#conn.write(`${command}\r\n`);
      const reply = await this.#reply(signal);
      if (reply.code < 400 && !isGood(reply)) throw this.#outOfStep(reply.text);
      replies.push(reply);
      if (!pipelined) await this.#assertInStep();
      if (!pipelined && replies.length === 1 && !isGood(reply)) break;
    }
    const [mail, ...answers] = replies as [SmtpReply, ...SmtpReply[]];
    // Without a sender every recipient is refused (`503 need MAIL`), which says nothing of them.
    const recipients = isGood(mail) ? answers : [];
    const nobody = !recipients.some(isGood);
    if (!pipelined && nobody) return this.#refused(decisive(mail, recipients), recipients, signal);
    if (!pipelined) await this.#conn.write('DATA\r\n');
    const go = await this.#reply(signal);
    if (go.code < 400 && go.code !== 354) throw this.#outOfStep(go.text);
    await this.#assertInStep();
    if (go.code !== 354) return this.#refused(nobody ? decisive(mail, recipients) : go, recipients, signal);
    if (nobody) {
      // RFC 2920 §3.1: a server that says 354 without recipients is given an empty message, which it refuses.
      await this.#conn.write('.\r\n');
      await this.#reply(signal);
      return this.#refused(decisive(mail, recipients), recipients, signal);
    }
    const { body } = message;
    const last = await this.#body(typeof body === 'function' ? await body(recipients) : body, signal);
    if (last === undefined) return this.#early(recipients, signal);
    // Whoever has left already has not seen the end, and so has taken nothing.
    if (this.#conn.closed)
      throw protocolError('wire.closed', `${this.#host} closed the connection before the end of the message`);
    let reply: SmtpReply;
    try {
      await this.#conn.write(last);
      reply = await this.#reply(signal);
      if (reply.code < 400 && !isGood(reply)) throw this.#outOfStep(reply.text);
      if (!(await this.#inStep())) await this.#goodbye(reply, signal);
    } catch (error) {
      return this.#unknown(asError(error).message);
    }
    if (!isGood(reply)) return { type: 'refused', reply, recipients };
    return { type: 'taken', reply, recipients };
  }

  /** Something was said before the message was at its end: a refusal is one, anything else proves nothing. */
  async #early(recipients: readonly SmtpReply[], signal: AbortSignal | undefined): Promise<SendResult> {
    const reply = await this.#reply(signal);
    if (reply.code < 400) return this.#unknown(this.#outOfStep(reply.text).message);
    this.#usable = false;
    this.#conn.destroy();
    return { type: 'refused', reply, recipients };
  }

  #unknown(reason: string): SendResult {
    this.#usable = false;
    this.#conn.destroy();
    return { type: 'unknown', reason };
  }

  /** After the reply to the message only a goodbye may follow: with anything else that reply may have been to something before it. */
  async #goodbye({ text }: SmtpReply, signal: AbortSignal | undefined): Promise<void> {
    const more = await this.#reply(signal);
    if (more.code !== 421) throw this.#outOfStep(`${text} / ${more.text}`);
  }

  /** Whether nothing was said that was not asked for, as far as it has come here. */
  async #inStep(): Promise<boolean> {
    // What lies in the socket is read in one turn of the loop, what TLS makes of it in the next.
    for (let turns = 0; turns < 2 && this.#conn.drained; turns++) await new Promise((turn) => setImmediate(turn));
    return this.#conn.drained;
  }

  /** @throws wire.syntax */
  async #assertInStep(): Promise<void> {
    if (!(await this.#inStep())) throw this.#outOfStep('more replies than commands');
  }

  #outOfStep(said: string): PosternError {
    return protocolError('wire.syntax', `${this.#host} answers what it was not asked: ${said.slice(0, 200)}`);
  }

  #mail({ envid, eightBit, from, ret, size, smtputf8 }: Outgoing): string {
    const dsn = this.#offers.has('DSN');
    return [
      `MAIL FROM:<${from}>`,
      ...(this.#offers.has('SIZE') ? [`SIZE=${size}`] : []),
      ...(eightBit && this.#offers.has('8BITMIME') ? ['BODY=8BITMIME'] : []),
      ...(smtputf8 ? ['SMTPUTF8'] : []),
      ...(dsn && ret !== undefined ? [`RET=${ret}`] : []),
      ...(dsn && envid !== undefined ? [`ENVID=${encodeXtext(envid)}`] : []),
    ].join(' ');
  }

  #rcpt({ address, notify, orcpt }: OutgoingRecipient): string {
    const dsn = this.#offers.has('DSN');
    return [
      `RCPT TO:<${address}>`,
      ...(dsn && notify !== undefined ? [`NOTIFY=${notify.join(',')}`] : []),
      ...(dsn && orcpt !== undefined ? [`ORCPT=${orcpt}`] : []),
    ].join(' ');
  }

  /**
   * The octets with their dots stuffed, in blocks; gives the last block, with the dot that ends the message. Undefined when the
   * server spoke meanwhile: then the end is not sent.
   */
  async #body(body: Octets, signal: AbortSignal | undefined): Promise<Buffer | undefined> {
    let lineStart = true;
    let block: Buffer[] = [];
    let held = 0;
    /** False when the server spoke, whether it left with that or not. */
    const flush = async (): Promise<boolean> => {
      const octets = Buffer.concat(block);
      block = [];
      held = 0;
      signal?.throwIfAborted();
      try {
        if (this.#conn.drained) await this.#writeUntilSpokenTo(octets);
      } catch (error) {
        signal?.throwIfAborted();
        if (await this.#inStep()) throw error;
      }
      return this.#conn.drained;
    };
    for await (const piece of body) {
      if (piece.length === 0) continue;
      const octets = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
      if (lineStart && octets[0] === DOT) block.push(ONE_DOT);
      let from = 0;
      // CR and LF come in pairs only (acceptance sees to it), so an LF is the end of a line.
      for (let at = octets.indexOf('\n.'); at !== -1; at = octets.indexOf('\n.', at + 1)) {
        block.push(octets.subarray(from, at + 1), ONE_DOT);
        from = at + 1;
      }
      block.push(octets.subarray(from));
      held += octets.length;
      lineStart = octets.at(-1) === LF;
      if (held >= BLOCK_OCTETS && !(await flush())) return undefined;
    }
    signal?.throwIfAborted();
    if (!(await this.#inStep())) return undefined;
    return Buffer.concat([...block, lineStart ? END : END_OF_LINE]);
  }

  /** A server that has refused the message need not read the rest of it: once it spoke, it is not waited for. @throws wire.* */
  async #writeUntilSpokenTo(octets: Buffer): Promise<void> {
    const look = Promise.withResolvers<void>();
    const timer = setInterval(() => {
      if (!this.#conn.drained) look.resolve();
    }, LOOK_MS);
    const writing = this.#conn.write(octets);
    // Left behind, it ends with the connection.
    writing.catch((error: unknown) => error);
    try {
      await Promise.race([writing, look.promise]);
    } finally {
      clearInterval(timer);
    }
  }

  async #refused(
    reply: SmtpReply,
    recipients: readonly SmtpReply[],
    signal: AbortSignal | undefined,
  ): Promise<SendResult> {
    if (reply.code === 421) this.#usable = false;
    else if (this.usable) {
      await this.#conn.write('RSET\r\n');
      const reset = await this.#reply(signal);
      // RFC 5321 §4.1.1.5: it is answered with 250. With 354 an earlier reply was to something else than it was taken for.
      if (reset.code < 400 && !isGood(reset)) throw this.#outOfStep(reset.text);
      if (!isGood(reset)) this.#usable = false;
    }
    return { type: 'refused', reply, recipients };
  }

  async #reply(signal: AbortSignal | undefined): Promise<SmtpReply> {
    const { code, lines, text } = await readReply(this.#conn, this.#host, signal);
    if (code === 421) this.#usable = false;
    return { code, enhanced: /^([245]\.\d{1,3}\.\d{1,3})\b/.exec(lines[0]!)?.[1], text };
  }
}

const DOT = 46;
const LF = 10;
const ONE_DOT = Buffer.from('.');
const END = Buffer.from('.\r\n');
const END_OF_LINE = Buffer.from('\r\n.\r\n');

const isGood = (reply: SmtpReply): boolean => reply.code >= 200 && reply.code < 300;

/** The reply by which a message without recipients was refused: MAIL's, or the first recipient's. */
function decisive(mail: SmtpReply, recipients: readonly SmtpReply[]): SmtpReply {
  return isGood(mail) ? (recipients[0] ?? mail) : mail;
}
