/**
 * SMTP submission after sign-in, server side: RFC 5321 transactions, RFC 2920 PIPELINING, RFC 3030 CHUNKING, RFC 3461 DSN,
 * RFC 6531 SMTPUTF8, RFC 6409. What becomes of the mail is the caller's.
 */
import { isError } from '../../base/error.ts';
import type { Pieces } from '../../base/pieces.ts';
import { protocolError } from '../errors.ts';
import { HTTP, isUnreadable, MAX_BAD_COMMANDS, NO_WEB_SERVER } from '../sign-in.ts';
import type { Conn } from '../wire/conn.ts';
import { chunkOf, commandWords, ehloReply } from './command-line.ts';
import { decodeXtext, isParameter, parsePath } from './envelope.ts';

export interface MailFrom {
  /** Empty for the null reverse-path. */
  readonly address: string;
  /** Octets, as announced. */
  readonly size: number | undefined;
  readonly eightBit: boolean;
  readonly smtputf8: boolean;
  readonly ret: 'FULL' | 'HDRS' | undefined;
  /** Decoded. */
  readonly envid: string | undefined;
}

export interface RcptTo {
  readonly address: string;
  readonly notify: readonly string[] | undefined;
  /** As given: `rfc822;bob@contoso.test`. */
  readonly orcpt: string | undefined;
}

export interface Transaction {
  readonly from: MailFrom;
  readonly recipients: readonly RcptTo[];
}

/** A whole reply without CRLF, `250 2.1.0 Sender OK`; whatever begins with 4 or 5 refuses. */
export type ReplyLine = string;

export interface ReceiveOptions {
  readonly hostname: string;
  /** Most octets of a message, announced as SIZE. */
  readonly maxOctets: number;
  /** Most octets of a command line. */
  readonly lineOctets: number;
  readonly signal?: AbortSignal;
  /** Told when a transaction begins and when it is over and answered: ended between the two, the sender has to begin again. */
  underWay?(is: boolean): void;
  /** These three must not reject. */
  mail(from: MailFrom): Promise<ReplyLine>;
  /** @param count recipients, this one included */
  rcpt(recipient: RcptTo, count: number): Promise<ReplyLine>;
  /** Takes the message: octets with CRLF, dots unstuffed. What it leaves unread is thrown away. */
  message(transaction: Transaction, octets: AsyncIterable<Buffer>): Promise<ReplyLine>;
}

/** What a session brought; octets of message data. */
export interface Received {
  readonly messages: number;
  readonly octets: number;
}

/** EHLO lines of a server that receives this way, but AUTH and STARTTLS. */
export function receiveExtensions(maxOctets: number): readonly string[] {
  return [`SIZE ${maxOctets}`, 'PIPELINING', 'DSN', 'ENHANCEDSTATUSCODES', '8BITMIME', 'CHUNKING', 'SMTPUTF8'];
}

/** Serves transactions until QUIT or the end. @throws wire.* when the connection breaks; the signal's reason */
export async function serveMail(conn: Conn, options: ReceiveOptions): Promise<Received> {
  return new MailSession(conn, options).serve();
}

class MailSession {
  readonly #conn: Conn;
  readonly #options: ReceiveOptions;
  #from: MailFrom | undefined;
  #recipients: RcptTo[] = [];
  /** The pieces of a message that comes by BDAT. */
  #chunks: ChunkedMessage | undefined;
  #bad = 0;
  #messages = 0;
  #octets = 0;
  /** Replies that wait for the last of the commands that came together (RFC 2920 §3.2). */
  #replies = '';

  constructor(conn: Conn, options: ReceiveOptions) {
    this.#conn = conn;
    this.#options = options;
  }

  async serve(): Promise<Received> {
    const { hostname, lineOctets, signal } = this.#options;
    let inARow = 0;
    try {
      for (;;) {
        if (this.#conn.drained) {
          await this.#flush();
          inARow = 0;
        } else {
          if (this.#replies.length >= MAX_REPLIES) await this.#flush();
          if (++inARow % COMMANDS_IN_A_ROW === 0) await new Promise((turn) => setImmediate(turn));
        }
        const line = await this.#conn.line(lineOctets, signal);
        if (line === undefined) break;
        const text = line.toString('utf8');
        if (HTTP.test(text)) {
          this.#say(NO_WEB_SERVER);
          break;
        }
        if (!(await this.#answer(text))) break;
        if (this.#bad >= MAX_BAD_COMMANDS) {
          this.#say(`421 4.7.0 ${hostname} too many bad commands`);
          break;
        }
      }
    } catch (error) {
      if (isUnreadable(error)) this.#say(`500 5.5.2 ${error.message}`);
      else if (isError(error, 'wire.timeout')) this.#say(`421 4.4.2 ${hostname} nothing was received for too long`);
      else {
        // What was taken is answered, or it comes again.
        void this.#flush().catch(() => undefined);
        throw error;
      }
    } finally {
      await this.#reset();
    }
    await this.#flush();
    return { messages: this.#messages, octets: this.#octets };
  }

  /** False at the end of the session. */
  async #answer(line: string): Promise<boolean> {
    const { verb, argument } = commandWords(line);
    const { hostname } = this.#options;
    switch (verb) {
      case 'EHLO':
        await this.#reset();
        return this.#say(ehloReply([hostname, ...receiveExtensions(this.#options.maxOctets)]));
      case 'HELO':
        await this.#reset();
        return this.#say(`250 ${hostname}`);
      case 'MAIL':
        return this.#mail(argument);
      case 'RCPT':
        return this.#rcpt(argument);
      case 'DATA':
        return this.#data(argument);
      case 'BDAT':
        return this.#bdat(argument);
      case 'RSET':
        await this.#reset();
        return this.#say('250 2.0.0 OK');
      case 'NOOP':
        return this.#say('250 2.0.0 OK');
      case 'VRFY':
        return this.#say('252 2.5.0 send mail to find out');
      case 'HELP':
        return this.#say('214 2.0.0 MAIL, RCPT, DATA, BDAT, RSET, NOOP, QUIT');
      case 'QUIT':
        this.#say(`221 2.0.0 ${hostname} see you`);
        return false;
      case 'AUTH':
      case 'STARTTLS':
        return this.#wrong(`503 5.5.1 ${verb} comes before the sign-in, which is done`);
      default:
        return this.#wrong('500 5.5.1 unknown command');
    }
  }

  async #mail(argument: string): Promise<true> {
    if (this.#from) return this.#wrong('503 5.5.1 a message is under way; RSET begins another');
    if (this.#conn.crowded) return this.#say('452 4.3.1 too much is under way for others just now, try again later');
    const path = parsePath('FROM', argument);
    if (!path) return this.#wrong('501 5.5.4 MAIL FROM:<address> was expected');
    const { address, parameters } = path;
    const unknown = [...parameters.keys()].find((name) => !MAIL_PARAMETERS.has(name));
    if (unknown !== undefined) return this.#wrong(`555 5.5.4 the parameter ${unknown} is not known`);
    const body = parameters.get('BODY')?.toUpperCase() ?? '7BIT';
    if (body !== '7BIT' && body !== '8BITMIME') return this.#wrong('555 5.5.4 BODY is 7BIT or 8BITMIME');
    const size = parameters.has('SIZE') ? Number(parameters.get('SIZE') ?? Number.NaN) : undefined;
    if (size !== undefined && !/^\d{1,15}$/.test(parameters.get('SIZE') ?? ''))
      return this.#wrong('501 5.5.4 SIZE is a number');
    if (size !== undefined && size > this.#options.maxOctets) return this.#wrong(this.#tooLarge());
    const ret = parameters.get('RET')?.toUpperCase();
    if (ret !== undefined && ret !== 'FULL' && ret !== 'HDRS') return this.#wrong('501 5.5.4 RET is FULL or HDRS');
    const envid = parameters.get('ENVID');
    const decoded = envid === undefined ? undefined : decodeXtext(envid);
    if (parameters.has('ENVID') && !isParameter('ENVID', envid)) return this.#wrong('501 5.5.4 ENVID is not xtext');
    for (const name of ['SMTPUTF8', 'RET', 'BODY'])
      if (parameters.has(name) && !isParameter(name, parameters.get(name)))
        return this.#wrong(`501 5.5.4 ${name} does not take this value`);
    const from: MailFrom = {
      address,
      size,
      eightBit: body === '8BITMIME',
      smtputf8: parameters.has('SMTPUTF8'),
      ret,
      envid: decoded,
    };
    const reply = await this.#options.mail(from);
    if (!isRefusal(reply)) {
      this.#from = from;
      this.#options.underWay?.(true);
    }
    return this.#say(reply);
  }

  async #rcpt(argument: string): Promise<true> {
    if (!this.#from) return this.#wrong('503 5.5.1 MAIL comes first');
    const path = parsePath('TO', argument);
    if (!path || path.address === '') return this.#wrong('501 5.5.4 RCPT TO:<address> was expected');
    const { address, parameters } = path;
    const unknown = [...parameters.keys()].find((name) => name !== 'NOTIFY' && name !== 'ORCPT');
    if (unknown !== undefined) return this.#wrong(`555 5.5.4 the parameter ${unknown} is not known`);
    const notify = parameters.get('NOTIFY')?.toUpperCase().split(',');
    const never = notify?.includes('NEVER') === true;
    if (parameters.has('NOTIFY') && (!notify?.every((word) => NOTIFY.has(word)) || (never && notify.length > 1)))
      return this.#wrong('501 5.5.4 NOTIFY is NEVER, or SUCCESS, FAILURE and DELAY');
    const orcpt = parameters.get('ORCPT');
    if (parameters.has('ORCPT') && !isParameter('ORCPT', orcpt)) return this.#wrong('501 5.5.4 ORCPT is type;address');
    const recipient: RcptTo = { address, notify, orcpt };
    const reply = await this.#options.rcpt(recipient, this.#recipients.length + 1);
    if (!isRefusal(reply)) this.#recipients.push(recipient);
    return this.#say(reply);
  }

  /** False when the connection cannot be read further. */
  async #data(argument: string): Promise<boolean> {
    if (argument !== '') return this.#wrong('501 5.5.4 DATA takes no parameters');
    if (this.#chunks) return this.#wrong('503 5.5.1 BDAT was begun');
    if (!this.#from || this.#recipients.length === 0) return this.#wrong('503 5.5.1 MAIL and RCPT come first');
    this.#say('354 end with a line that holds a dot alone');
    await this.#flush();
    const pieces = this.#conn.dotted(this.#options.signal);
    const reply = await this.#options.message({ from: this.#from, recipients: this.#recipients }, pieces);
    // However it was answered, what the program sends up to the dot is not a command.
    const enough = pieces.octets + this.#options.maxOctets;
    while (pieces.octets <= enough && (await pieces.next()));
    this.#octets += pieces.octets;
    if (pieces.octets > enough) return this.#endless();
    this.#finish(reply);
    return true;
  }

  #endless(): false {
    this.#say(`421 4.7.0 ${this.#options.hostname} ${this.#tooLarge().slice('552 5.3.4 '.length)}`);
    return false;
  }

  /** False when the connection cannot be read further. */
  async #bdat(argument: string): Promise<boolean> {
    const chunk = chunkOf(argument);
    if (!chunk) {
      // The octets that follow cannot be told from commands (RFC 3030 §2).
      this.#say('501 5.5.4 BDAT takes a size and LAST');
      return false;
    }
    const pieces = this.#conn.stream(chunk.octets, this.#options.signal);
    const { last } = chunk;
    this.#octets += chunk.octets;
    if (!this.#from || this.#recipients.length === 0) {
      while (await pieces.next());
      return this.#wrong('503 5.5.1 MAIL and RCPT come first');
    }
    this.#chunks ??= new ChunkedMessage((pieces) =>
      this.#options.message({ from: this.#from!, recipients: this.#recipients }, pieces),
    );
    const early = await this.#chunks.add(pieces, last);
    if (early !== undefined || last) this.#finish(early ?? (await this.#chunks.reply));
    else this.#say(`250 2.0.0 ${chunk.octets} octets received`);
    return true;
  }

  #finish(reply: ReplyLine): void {
    if (!isRefusal(reply)) this.#messages += 1;
    this.#say(reply);
    this.#clear();
  }

  async #reset(): Promise<void> {
    await this.#chunks?.abort();
    this.#clear();
  }

  #clear(): void {
    this.#chunks = undefined;
    this.#from = undefined;
    this.#recipients = [];
    this.#options.underWay?.(false);
  }

  #tooLarge(): ReplyLine {
    return `552 5.3.4 a message may have ${this.#options.maxOctets} octets at most`;
  }

  #wrong(reply: ReplyLine): true {
    this.#bad += 1;
    return this.#say(reply);
  }

  #say(reply: ReplyLine): true {
    this.#replies += `${reply}\r\n`;
    return true;
  }

  async #flush(): Promise<void> {
    if (this.#replies === '') return;
    const text = this.#replies;
    this.#replies = '';
    await this.#conn.write(text, this.#options.signal);
  }
}

/** A message whose octets come in several commands: the taker sees one stream. */
class ChunkedMessage {
  readonly reply: Promise<ReplyLine>;
  #aborted = false;
  #done: ReplyLine | undefined;
  #give: ((piece: Buffer | undefined) => void) | undefined;
  #wanted = Promise.withResolvers<void>();

  constructor(take: (pieces: AsyncIterable<Buffer>) => Promise<ReplyLine>) {
    this.reply = take(this.#pieces()).then((reply) => {
      this.#done = reply;
      this.#wanted.resolve();
      return reply;
    });
  }

  /** Passes a chunk on; the reply when the taker answered before its end. */
  async add(octets: Pieces, last: boolean): Promise<ReplyLine | undefined> {
    for await (const piece of octets) {
      await this.#wanted.promise;
      if (this.#done === undefined) this.#hand(piece);
    }
    await this.#wanted.promise;
    if (this.#done !== undefined) return this.#done;
    if (last) this.#hand(undefined);
    return undefined;
  }

  /** Ends it unfinished: the taker's stream throws. */
  async abort(): Promise<void> {
    if (this.#done !== undefined) return;
    this.#aborted = true;
    await this.#wanted.promise;
    this.#give?.(undefined);
    await this.reply;
  }

  #hand(piece: Buffer | undefined): void {
    const give = this.#give!;
    this.#give = undefined;
    this.#wanted = Promise.withResolvers();
    give(piece);
  }

  async *#pieces(): AsyncGenerator<Buffer, void, void> {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
      this.#give = resolve;
      this.#wanted.resolve();
      const piece = await promise;
      if (this.#aborted) throw protocolError('wire.closed', 'the program gave the message up before its last chunk');
      if (piece === undefined) return;
      yield piece;
    }
  }
}

/**
 * Octets of replies that are gathered at most: a peer that sends commands without end and reads no reply is read no further
 * once the socket takes no more of them. Far above what the recipients of a message, pipelined, are answered.
 */
const MAX_REPLIES = 16 * 1024;
/** Then others have their turn: a millisecond of one peer. The commands of a message for a hundred recipients come in one go. */
const COMMANDS_IN_A_ROW = 128;
const MAIL_PARAMETERS = new Set(['SIZE', 'BODY', 'SMTPUTF8', 'RET', 'ENVID', 'AUTH']);
const NOTIFY = new Set(['NEVER', 'SUCCESS', 'FAILURE', 'DELAY']);

const isRefusal = (reply: ReplyLine): boolean => /^[45]/.test(reply);
