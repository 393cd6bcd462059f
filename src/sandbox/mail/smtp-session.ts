/** SMTP submission as Exchange Online serves it (RFC 5321, 6409, 3207, 4954, 3030, 3461, 6531). */
import { mailDate } from '../../base/mail-date.ts';
import { randomUUID } from 'node:crypto';
import { isError } from '../../base/error.ts';
import { ehloReply } from '../../protocol/smtp/command-line.ts';
import type { Spot } from '../faults/board.ts';
import { type FaultId, faults as catalogue, findFault } from '../faults/catalogue.ts';
import type { SmtpMoment } from '../faults/types.ts';
import { admit, decodeLine, type Admitted } from './admission.ts';
import type { Line } from './line.ts';
import { LINE_OCTETS, type MailSite } from './site.ts';
import { Transaction } from './smtp-transaction.ts';
import { foreignAuthor, keepsCopyOf, maySendAs, post } from './submission.ts';

const FAILURES = 10;
const replies = catalogue.filter(({ effect }) => effect.type === 'reply');
/** RFC 1870, 6152, 3030, 6531, 3461, 4954: what EHLO offers has parameters. */
const MAIL_PARAMETERS = ['SIZE', 'BODY', 'SMTPUTF8', 'RET', 'ENVID', 'AUTH'];
const RECIPIENT_PARAMETERS = ['NOTIFY', 'ORCPT'];
/** A local part may be quoted, spaces and all (RFC 5321 §4.1.2). */
const PATH = /^<((?:"(?:[^"\\]|\\.)*"@)?[^<>\s"]*)>((?: .*)?)$/;
const ADDRESS = /^(?:"(?:[^"\\]|\\.)*"|[^@"]+)@[^@"]+$/;

export async function serveSmtp(conn: Line, service: MailSite): Promise<void> {
  const submission = new Submission(conn, service);
  try {
    await submission.serve();
  } catch (error) {
    if (isError(error, 'wire.line-too-long') || isError(error, 'wire.bare-newline'))
      await conn.write('500 5.5.2 Line too long or malformed\r\n');
    else if (isError(error, 'wire.timeout'))
      await conn.write(`421 4.4.1 Connection timed out [${service.hostname}]\r\n`);
    else if (!isError(error, 'wire.closed') && !isError(error, 'wire.injected')) throw error;
  } finally {
    submission.end();
  }
}

class Submission {
  readonly #conn: Line;
  readonly #service: MailSite;
  #greeted: string | undefined;
  #admitted: Admitted | undefined;
  #transaction: Transaction | undefined;
  #failures = 0;
  #over = false;

  constructor(conn: Line, service: MailSite) {
    this.#conn = conn;
    this.#service = service;
  }

  async serve(): Promise<void> {
    const date = mailDate(this.#service.clock.now());
    if (await this.#fault('connect')) return;
    await this.#say(`220 ${this.#service.hostname} Microsoft ESMTP MAIL Service ready at ${date}`);
    while (this.#failures < FAILURES) {
      const line = await this.#conn.line(LINE_OCTETS);
      if (line === undefined) return;
      const text = line.toString('utf8').trimEnd();
      const verb = (/^[A-Za-z]+/.exec(text)?.[0] ?? '').toUpperCase();
      const rest = text.slice(verb.length).trim();
      if (verb === 'QUIT') return this.#say('221 2.0.0 Service closing transmission channel');
      await this.#answer(verb, rest);
      if (this.#over) return;
    }
    await this.#say('421 4.7.0 Too many errors on this connection, closing transmission channel');
  }

  /** Gives back what an unfinished transaction held. */
  end(): void {
    this.#reset();
  }

  #say(reply: string): Promise<void> {
    return this.#conn.write(`${reply}\r\n`);
  }

  /** Answers as a fault of this moment wants, if one bites. */
  async #fault(at: SmtpMoment, addresses: readonly string[] = [], sender = ''): Promise<boolean> {
    for (const { id, effect } of replies) {
      if (effect.type !== 'reply' || effect.at !== at) continue;
      if (!this.#service.faults.bite(id, { place: 'smtp', addresses })) continue;
      await this.#say(this.#words(effect.text, sender));
      if (effect.close === true) {
        this.#over = true;
        this.#conn.end();
      }
      return true;
    }
    return false;
  }

  /** A fault's text with the facts of this session. */
  #words(text: string, sender: string): string {
    const facts: Readonly<Record<string, string>> = {
      stamp: this.#stamp(),
      host: this.#service.hostname,
      mailbox: this.#admitted?.mailbox.address ?? '',
      sender,
    };
    return text.replace(/\{(\w+)\}/g, (whole, name: string) => facts[name] ?? whole);
  }

  async #answer(verb: string, rest: string): Promise<void> {
    switch (verb) {
      case 'EHLO':
      case 'HELO':
        if (rest === '') return this.#say('501 5.5.4 Invalid domain name');
        this.#greeted = rest;
        this.#reset();
        return verb === 'HELO' ? this.#say(`250 ${this.#service.hostname} Hello [127.0.0.1]`) : this.#extensions();
      case 'NOOP':
        return this.#say('250 2.0.0 OK');
      case 'RSET':
        this.#reset();
        return this.#say('250 2.0.0 Resetting');
      case 'VRFY':
        return this.#say('252 2.1.5 Cannot VRFY user');
      case 'STARTTLS':
        return this.#startTls(rest);
      case 'AUTH':
        return this.#authenticate(rest.split(' '));
      case 'MAIL':
        return this.#mail(rest);
      case 'RCPT':
        return this.#recipient(rest);
      case 'DATA':
        return this.#data(rest);
      case 'BDAT':
        return this.#chunk(rest);
      default:
        this.#failures++;
        return this.#say('500 5.3.3 Unrecognized command');
    }
  }

  #extensions(): Promise<void> {
    const lines = [
      `${this.#service.hostname} Hello [127.0.0.1]`,
      `SIZE ${this.#service.ledger.limits.messageOctets}`,
      'PIPELINING',
      'DSN',
      'ENHANCEDSTATUSCODES',
      this.#conn.encrypted ? 'AUTH LOGIN XOAUTH2' : 'STARTTLS',
      '8BITMIME',
      'BINARYMIME',
      'CHUNKING',
      'SMTPUTF8',
    ];
    return this.#say(ehloReply(lines));
  }

  async #startTls(rest: string): Promise<void> {
    if (this.#conn.encrypted || rest !== '') return this.#say('501 5.5.4 STARTTLS is not possible here');
    if (!this.#conn.drained) {
      await this.#say('554 5.5.1 Plain text after STARTTLS');
      return this.#conn.end();
    }
    await this.#say('220 2.0.0 SMTP server ready');
    await this.#conn.secure();
    this.#greeted = undefined;
    this.#reset();
  }

  async #authenticate([mechanism = '', initial]: readonly string[]): Promise<void> {
    if (!this.#conn.encrypted) return this.#say('530 5.7.0 Must issue a STARTTLS command first');
    if (this.#greeted === undefined || this.#admitted) return this.#say('503 5.5.1 Bad sequence of commands');
    const name = mechanism.toUpperCase();
    if (name === 'LOGIN' || name === 'PLAIN') return this.#refuseBasic(name, initial);
    if (name !== 'XOAUTH2') return this.#say('504 5.7.4 Unrecognized authentication type');
    let line = initial;
    if (line === undefined) {
      await this.#say('334 ');
      line = (await this.#conn.line(LINE_OCTETS))?.toString('latin1') ?? '*';
    }
    const response = decodeLine(line);
    const admission = response ? admit(this.#service.tokens, this.#service.mail, 'SMTP', response) : undefined;
    if (admission && (await this.#fault('auth', admission.user === undefined ? [] : [admission.user]))) {
      this.#failures++;
      return undefined;
    }
    if (admission?.type === 'open') {
      this.#admitted = admission;
      this.#conn.arm({ place: 'smtp', addresses: [admission.mailbox.address] });
      return this.#say('235 2.7.0 Authentication successful');
    }
    this.#failures++;
    this.#service.log.info({ protocol: 'smtp', admission: admission?.type ?? 'unreadable' }, 'sign-in refused');
    return this.#say(`535 5.7.3 Authentication unsuccessful ${this.#stamp()}`);
  }

  async #refuseBasic(name: 'LOGIN' | 'PLAIN', initial: string | undefined): Promise<void> {
    const prompts = name === 'PLAIN' ? (initial === undefined ? [''] : []) : ['VXNlcm5hbWU6', 'UGFzc3dvcmQ6'];
    for (const prompt of name === 'LOGIN' && initial !== undefined ? prompts.slice(1) : prompts) {
      await this.#say(`334 ${prompt}`);
      if (((await this.#conn.line(LINE_OCTETS))?.toString('latin1') ?? '*') === '*') break;
    }
    this.#failures++;
    await this.#say(`535 5.7.139 Authentication unsuccessful, basic authentication is disabled. ${this.#stamp()}`);
  }

  #stamp(): string {
    const date = new Date(this.#service.clock.now()).toISOString();
    return `[${this.#service.hostname} ${date} ${randomUUID().replaceAll('-', '').slice(0, 16).toUpperCase()}]`;
  }

  async #mail(rest: string): Promise<void> {
    if (!this.#admitted) return this.#say('530 5.7.57 Client not authenticated to send mail. ' + this.#stamp());
    if (this.#transaction) return this.#say('503 5.5.2 Sender already specified');
    const [, address, parameters] = PATH.exec(rest.replace(/^FROM: */i, '')) ?? [];
    if (!/^FROM:/i.test(rest) || address === undefined) return this.#say('501 5.1.7 Invalid address');
    if (await this.#fault('mail', [this.#admitted.mailbox.address, address], address)) return undefined;
    if (address !== '' && !this.#maySendAs(address))
      return this.#say('550 5.7.60 SMTP; Client does not have permissions to send as this sender');
    if (!isKnown(parameters, MAIL_PARAMETERS)) return this.#say('501 5.5.4 Invalid arguments');
    const size = /\bSIZE=(\d{1,15})\b/i.exec(parameters ?? '')?.[1];
    if (Number(size ?? 0) > this.#service.ledger.limits.messageOctets)
      return this.#say('552 5.3.4 Message size exceeds fixed maximum message size');
    const binary = /\bBODY=BINARYMIME\b/i.test(parameters ?? '');
    const { ledger } = this.#service;
    this.#transaction = new Transaction(ledger, this.#admitted.mailbox.address, { from: address, binary });
    return this.#say('250 2.1.0 Sender OK');
  }

  async #recipient(rest: string): Promise<void> {
    const transaction = this.#transaction;
    if (!transaction) return this.#say('503 5.5.2 Need mail command');
    const [, address = '', parameters] = PATH.exec(rest.replace(/^TO: */i, '')) ?? [];
    if (!/^TO:/i.test(rest) || !ADDRESS.test(address)) return this.#say('501 5.1.3 Invalid address');
    if (!isKnown(parameters, RECIPIENT_PARAMETERS)) return this.#say('501 5.5.4 Invalid arguments');
    if (await this.#fault('recipient', [this.#admitted!.mailbox.address, address])) return undefined;
    if (transaction.recipients.length >= this.#service.ledger.limits.recipientsPerMessage)
      return this.#say('452 4.5.3 Too many recipients');
    if (this.#isOurs(address) && !this.#service.mail.find(address))
      return this.#say('550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup');
    transaction.recipients.push(address);
    return this.#say('250 2.1.5 Recipient OK');
  }

  #isOurs(address: string): boolean {
    const domain = address.slice(address.lastIndexOf('@')).toLowerCase();
    return [...this.#service.mail.mailboxes.keys()].some((own) => own.endsWith(domain));
  }

  async #data(rest: string): Promise<void> {
    const transaction = this.#transaction;
    if (rest !== '') return this.#say('501 5.5.4 Invalid arguments');
    if (!transaction || transaction.recipients.length === 0 || transaction.chunking || transaction.binary)
      return this.#say('503 5.5.2 Bad sequence of commands');
    await this.#say('354 Start mail input; end with <CRLF>.<CRLF>');
    for await (const piece of this.#conn.dotted()) transaction.collect(piece);
    return this.#finish(transaction);
  }

  async #chunk(rest: string): Promise<void> {
    const [, length, last] = /^(\d{1,10})( +LAST)?$/i.exec(rest) ?? [];
    // Without a length the chunk cannot be told from commands.
    if (length === undefined) {
      await this.#say('501 5.5.4 Invalid arguments');
      return this.#conn.end();
    }
    const transaction = this.#transaction;
    for await (const piece of this.#conn.stream(Number(length))) transaction?.collect(piece);
    if (!transaction || transaction.recipients.length === 0) return this.#say('503 5.5.2 Bad sequence of commands');
    transaction.chunking = true;
    return last === undefined ? this.#say(`250 2.6.0 ${length} octets received`) : this.#finish(transaction);
  }

  /** The end of the message: accepted or refused, the transaction is over. */
  async #finish(transaction: Transaction): Promise<void> {
    try {
      await this.#submit(transaction);
    } finally {
      this.#reset();
    }
  }

  #reset(): void {
    this.#transaction?.end();
    this.#transaction = undefined;
  }

  async #submit(transaction: Transaction): Promise<void> {
    if (transaction.tooLarge) return this.#say('552 5.3.4 Message size exceeds fixed maximum message size');
    if (transaction.crowded) return this.#say('452 4.3.1 Insufficient system resources');
    const { mail, clock, hostname, faults, ledger } = this.#service;
    const sender = this.#admitted!;
    const { address } = sender.mailbox;
    const spot: Spot = { place: 'smtp', addresses: [address, transaction.from, ...transaction.recipients] };
    if (await this.#fault('done', spot.addresses, transaction.from)) return undefined;
    const body = transaction.message();
    if (faults.bite('smtp-message-lost', spot)) return this.#conn.reset();
    if (keepsCopyOf(sender.mailbox, body) && faults.bite('smtp-lost-beside-copy', spot)) return this.#conn.reset();
    if (ledger.open(address, 'smtp') > ledger.limits.smtpConnections) return this.#refuseAs('smtp-concurrent-limit');
    const date = mailDate(clock.now());
    const received = `Received: from ${this.#greeted ?? 'unknown'} (127.0.0.1)\r\n by ${hostname} with ESMTPSA id ${randomUUID()};\r\n ${date}\r\n`;
    const foreign = foreignAuthor(mail, sender, body);
    if (foreign !== undefined) return this.#refuseAs('smtp-send-as-denied', foreign);
    if (!ledger.takeRecipients(address, transaction.recipients.length)) return this.#refuseAs('smtp-sender-limit');
    const raw = Buffer.concat([Buffer.from(received), body]);
    const { from, recipients } = transaction;
    const id = post(this.#service, sender, { place: 'smtp', from, recipients, raw });
    if (faults.bite('smtp-reply-lost', spot)) return this.#conn.reset();
    return this.#say(`250 2.0.0 OK <${id}@${hostname}> [Hostname=${hostname}]`);
  }

  /** The words of a fault, said because it is so. */
  #refuseAs(id: FaultId, sender = ''): Promise<void> {
    const { effect } = findFault(id)!;
    return this.#say(effect.type === 'reply' ? this.#words(effect.text, sender) : '451 4.3.0 Temporary server error');
  }

  #maySendAs(address: string): boolean {
    return maySendAs(this.#service.mail, this.#admitted!, address);
  }
}

function isKnown(parameters: string | undefined, known: readonly string[]): boolean {
  const names = (parameters ?? '').split(' ').filter((word) => word !== '');
  return names.every((word) => known.includes(word.split('=')[0]!.toUpperCase()));
}
