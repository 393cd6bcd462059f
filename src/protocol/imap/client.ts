/** IMAP sign-in with a bearer token, client side: RFC 9051 §6.1–6.2, RFC 4959 SASL-IR, in as few round trips as the server allows. */
import {
  BearerExchange,
  type BearerSignedIn,
  type BearerSignInOptions,
  REPLY_OCTETS,
  stripped,
  unexpected,
} from '../bearer-sign-in.ts';
import type { Conn } from '../wire/conn.ts';
import type { Response } from './response.ts';
import { type CommandOptions, type CommandResult, ImapSession, type SessionLimits } from './session.ts';

/** No response is needed but CAPABILITY, and none of the servers tried sends more than four. */
const LIMITS: SessionLimits = {
  line: REPLY_OCTETS,
  literal: REPLY_OCTETS,
  response: REPLY_OCTETS,
  command: 100 * REPLY_OCTETS,
  responses: 100,
};

/**
 * Reads the greeting, turns to TLS where asked, and signs in.
 * @throws sasl.refused, sasl.unavailable, sasl.no-mechanism, tls.stripped, wire.*, or the signal's reason
 */
export async function signIn(conn: Conn, options: BearerSignInOptions): Promise<BearerSignedIn> {
  return new ImapSignIn(conn, options).run();
}

class ImapSignIn {
  readonly #conn: Conn;
  readonly #options: BearerSignInOptions;
  readonly #session: ImapSession;
  #capabilities: readonly string[] | undefined;

  constructor(conn: Conn, options: BearerSignInOptions) {
    this.#conn = conn;
    this.#options = options;
    this.#session = new ImapSession(conn, { host: options.host, prefix: 'p', limits: LIMITS });
  }

  async run(): Promise<BearerSignedIn> {
    const greeting = await this.#session.greeting(this.#options.signal);
    this.#learn(greeting);
    if (this.#options.tls === 'starttls') await this.#starttls();
    const before = this.#capabilities ?? (await this.#ask());
    const offered = before.filter((name) => /^AUTH=/i.test(name)).map((name) => name.slice(5));
    const exchange = new BearerExchange(this.#options, offered);
    exchange.direct = before.some((name) => name.toUpperCase() === 'SASL-IR');
    this.#capabilities = undefined;
    const result = await this.#command(
      `AUTHENTICATE ${exchange.name}${exchange.direct ? ` ${exchange.initial}` : ''}`,
      (challenge) => exchange.answer(challenge),
    );
    if (result.status !== 'OK') {
      const reply = `${result.status} ${result.text}`;
      throw exchange.refusal(reply, TEMPORARY.test(reply));
    }
    return {
      mechanism: exchange.name,
      greeting: `* OK ${greeting.text}`,
      capabilities: this.#capabilities ?? (await this.#ask()),
    };
  }

  async #starttls(): Promise<void> {
    const { host, secure } = this.#options;
    const offered = this.#capabilities ?? (await this.#ask());
    if (!offered.some((name) => name.toUpperCase() === 'STARTTLS')) throw stripped(host);
    const { status } = await this.#command('STARTTLS');
    if (status !== 'OK' || secure === undefined) throw stripped(host);
    await this.#conn.upgrade(secure);
    this.#capabilities = undefined; // RFC 9051 §6.2.1: what was said before TLS does not count
  }

  async #ask(): Promise<readonly string[]> {
    const { status, text } = await this.#command('CAPABILITY');
    if (status !== 'OK' || this.#capabilities === undefined) throw unexpected(this.#options.host, `${status} ${text}`);
    return this.#capabilities;
  }

  async #command(command: string, challenged?: CommandOptions['challenged']): Promise<CommandResult> {
    const result = await this.#session.run(command, {
      signal: this.#options.signal,
      ...(challenged ? { challenged } : {}),
    });
    for (const response of result.responses) this.#learn(response);
    if (result.status === 'OK') this.#learn(result);
    return result;
  }

  #learn(said: Response | CommandResult): void {
    if ('names' in said) this.#capabilities = said.names;
    else if ('code' in said && said.code?.name === 'CAPABILITY')
      this.#capabilities = said.code.text.split(' ').filter(Boolean);
  }
}

/** RFC 5530 §3, and Exchange's words when it throttles. */
const TEMPORARY = /^NO \[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG)\]|throttled|server (?:is )?unavailable/i;
