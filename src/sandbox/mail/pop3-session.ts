/** A POP3 session as Exchange Online serves it (RFC 1939, RFC 2449, RFC 5034). */
import { isError } from '../../base/error.ts';
import type { Spot } from '../faults/board.ts';
import { admit, decodeLine, type Admitted } from './admission.ts';
import type { Line } from './line.ts';
import { LINE_OCTETS, type MailSite } from './site.ts';
import type { Message } from './store.ts';

const REFUSED = '-ERR Authentication failure: unknown user name or bad password.';
const IN_USE = '-ERR [IN-USE] The maildrop is in use by another session.';
const CAPABILITIES = ['TOP', 'UIDL', 'SASL PLAIN XOAUTH2', 'USER'];
const FAILURES = 10;

/** Serves until the end of the connection. */
export async function servePop3(conn: Line, service: MailSite): Promise<void> {
  const name = Buffer.from(service.hostname, 'utf16le').toString('base64');
  await conn.write(`+OK The Microsoft Exchange POP3 service is ready. [${name}]\r\n`);
  let admitted: Admitted | undefined;
  try {
    admitted = await signIn(conn, service);
    if (admitted) await new Maildrop(conn, service, admitted).serve();
  } catch (error) {
    if (isError(error, 'wire.line-too-long') || isError(error, 'wire.bare-newline'))
      await conn.write('-ERR Protocol error. Connection is closed.\r\n');
    else if (isError(error, 'wire.timeout')) await conn.write('-ERR Connection is closed. 10\r\n');
    else if (!isError(error, 'wire.closed')) throw error;
  } finally {
    if (admitted) admitted.mailbox.popLocked = false;
  }
}

async function signIn(conn: Line, service: MailSite): Promise<Admitted | undefined> {
  for (let failures = 0; failures < FAILURES;) {
    const line = await conn.line(LINE_OCTETS);
    if (line === undefined) return undefined;
    const [verb = '', ...words] = line.toString('latin1').split(' ');
    switch (verb.toUpperCase()) {
      case 'CAPA':
        await conn.write(`+OK\r\n${CAPABILITIES.map((each) => `${each}\r\n`).join('')}.\r\n`);
        break;
      case 'QUIT':
        await conn.write('+OK Microsoft Exchange Server POP3 server signing off.\r\n');
        return undefined;
      case 'USER':
        await conn.write('+OK\r\n');
        break;
      case 'PASS':
        failures++;
        await conn.write('-ERR Logon failure: unknown user name or bad password.\r\n');
        break;
      case 'AUTH': {
        const admitted = await authenticate(conn, service, words);
        if (admitted) return admitted;
        failures++;
        break;
      }
      default:
        await conn.write('-ERR Command is not valid in this state.\r\n');
    }
  }
  return undefined;
}

async function authenticate(conn: Line, service: MailSite, words: readonly string[]): Promise<Admitted | undefined> {
  const mechanism = words[0]?.toUpperCase();
  if (mechanism !== 'XOAUTH2' && mechanism !== 'PLAIN') {
    await conn.write('-ERR Unrecognized authentication type.\r\n');
    return undefined;
  }
  // Exchange wants two lines; an initial response on the first one is a protocol error to it.
  if (words.length > 1) {
    await conn.write('-ERR Protocol error. Connection is closed. 10\r\n');
    return undefined;
  }
  await conn.write('+ \r\n');
  const response = decodeLine((await conn.line(LINE_OCTETS))?.toString('latin1') ?? '*');
  const admission =
    response && mechanism === 'XOAUTH2' ? admit(service.tokens, service.mail, 'POP', response) : undefined;
  const fault = admission && refusal(service, admission.user);
  if (fault !== undefined) {
    await conn.write(`${fault}\r\n`);
    return undefined;
  }
  if (admission?.type !== 'open') {
    service.log.info({ protocol: 'pop3', admission: admission?.type ?? 'unreadable' }, 'sign-in refused');
    await conn.write(`${REFUSED}\r\n`);
    return undefined;
  }
  if (admission.mailbox.popLocked) {
    await conn.write(`${IN_USE}\r\n`);
    return undefined;
  }
  admission.mailbox.popLocked = true;
  conn.arm({ place: 'pop3', addresses: [admission.mailbox.address] });
  await conn.write('+OK User successfully authenticated.\r\n');
  return admission;
}

/** What a fault says to a sign-in, if one bites. */
function refusal({ faults }: MailSite, user: string | undefined): string | undefined {
  const spot: Spot = { place: 'pop3', addresses: user === undefined ? [] : [user] };
  if (faults.bite('pop3-disabled', spot)) return REFUSED;
  if (faults.bite('pop3-temporary', spot)) return '-ERR [SYS/TEMP] Temporary server error. Please try again later.';
  return faults.bite('pop3-in-use', spot) && IN_USE;
}

/** The transaction state: messages as they were at sign-in; deletions happen at QUIT (RFC 1939 §5, §6). */
class Maildrop {
  readonly #conn: Line;
  readonly #service: MailSite;
  readonly #admitted: Admitted;
  readonly #messages: readonly Message[];
  readonly #deleted = new Set<Message>();

  constructor(conn: Line, service: MailSite, admitted: Admitted) {
    this.#conn = conn;
    this.#service = service;
    this.#admitted = admitted;
    this.#messages = [...admitted.mailbox.inbox.messages];
  }

  async serve(): Promise<void> {
    for (;;) {
      const line = await this.#conn.line(LINE_OCTETS);
      if (line === undefined) return;
      const [verb = '', ...words] = line.toString('latin1').trimEnd().split(' ');
      const spot: Spot = { place: 'pop3', addresses: [this.#admitted.mailbox.address] };
      if (this.#service.faults.bite('pop3-connection-closed', spot)) return this.#say('-ERR Connection is closed. 10');
      if (verb.toUpperCase() === 'QUIT') {
        this.#admitted.mailbox.inbox.remove(this.#deleted);
        return this.#say('+OK Microsoft Exchange Server POP3 server signing off.');
      }
      await this.#answer(verb.toUpperCase(), words);
    }
  }

  async #answer(verb: string, words: readonly string[]): Promise<void> {
    const kept = this.#messages.filter((message) => !this.#deleted.has(message));
    switch (verb) {
      case 'STAT':
        return this.#say(`+OK ${kept.length} ${kept.reduce((sum, { raw }) => sum + raw.length, 0)}`);
      case 'NOOP':
        return this.#say('+OK');
      case 'RSET':
        this.#deleted.clear();
        return this.#say('+OK');
      case 'CAPA':
        return this.#say(`+OK\r\n${CAPABILITIES.join('\r\n')}\r\n.`);
      case 'LIST':
      case 'UIDL': {
        const numbers = new Map(this.#messages.map((message, index) => [message, index + 1]));
        const show = (message: Message): string =>
          `${numbers.get(message)!} ${verb === 'LIST' ? message.raw.length : `${this.#admitted.mailbox.inbox.uidValidity}-${message.uid}`}`;
        if (words.length === 0) return this.#say(`+OK\r\n${kept.map((each) => `${show(each)}\r\n`).join('')}.`);
        const message = this.#find(words[0]);
        return this.#say(message ? `+OK ${show(message)}` : '-ERR The specified message is out of range.');
      }
    }
    const message = this.#find(words[0]);
    if (!['RETR', 'TOP', 'DELE'].includes(verb)) return this.#say('-ERR Command is not valid in this state.');
    if (!message) return this.#say('-ERR The specified message is out of range.');
    if (verb === 'DELE') {
      this.#deleted.add(message);
      return this.#say('+OK');
    }
    const count = words[1] ?? '';
    if (verb === 'TOP' && !/^\d{1,9}$/.test(count)) return this.#say('-ERR Command is not valid.');
    const octets = verb === 'TOP' ? message.raw.subarray(0, topEnd(message.raw, Number(count))) : message.raw;
    await this.#say(`+OK ${octets.length}`);
    await this.#dotted(octets);
  }

  #find(word: string | undefined): Message | undefined {
    const message = /^\d{1,9}$/.test(word ?? '') ? this.#messages[Number(word) - 1] : undefined;
    return message && !this.#deleted.has(message) ? message : undefined;
  }

  #say(line: string): Promise<void> {
    return this.#conn.write(`${line}\r\n`);
  }

  /** Writes the message with leading dots doubled, in runs that need no copy. */
  async #dotted(octets: Buffer): Promise<void> {
    let from = 0;
    if (octets[0] === 0x2e) await this.#conn.write('.');
    for (let at = octets.indexOf('\n.'); at !== -1; at = octets.indexOf('\n.', at + 1)) {
      await this.#conn.write(octets.subarray(from, at + 2));
      from = at + 1;
    }
    await this.#conn.write(octets.subarray(from));
    await this.#conn.write(octets.subarray(-2).toString('latin1') === '\r\n' ? '.\r\n' : '\r\n.\r\n');
  }
}

/** Where the header and `lines` lines of the body end. */
function topEnd(raw: Buffer, lines: number): number {
  const gap = raw.indexOf('\r\n\r\n');
  if (gap === -1) return raw.length;
  let end = gap + 4;
  for (let left = lines; left > 0 && end < raw.length; left--) {
    const lf = raw.indexOf(10, end);
    if (lf === -1) return raw.length;
    end = lf + 1;
  }
  return end;
}
