/** IMAP sign-in with a bearer token, client side: RFC 9051 §6.1–6.2, RFC 4959 SASL-IR, in as few round trips as the server allows. */
import {
  answerChallenge,
  type BearerMechanism,
  type BearerSignedIn,
  type BearerSignInOptions,
  chooseMechanism,
  endless,
  hungUp,
  MAX_CHALLENGES,
  refused,
  REPLY_OCTETS,
  stripped,
  unavailable,
  unexpected,
} from '../bearer-sign-in.ts';
import { encodeInitial, encodeResponse } from '../sasl/line.ts';
import type { BearerFailure } from '../sasl/mechanism.ts';
import { protocolError } from '../errors.ts';
import type { Conn } from '../wire/conn.ts';
import { capabilityList } from './capability-list.ts';

/**
 * Reads the greeting, turns to TLS where asked, and signs in.
 * @throws sasl.refused, sasl.unavailable, sasl.no-mechanism, tls.stripped, wire.*, or the signal's reason
 */
export async function signIn(conn: Conn, options: BearerSignInOptions): Promise<BearerSignedIn> {
  return new ImapSignIn(conn, options).run();
}

/** Untagged lines before an answer: none is needed but CAPABILITY, and none of the servers tried sends more than four. */
const MAX_UNTAGGED = 100;

/** One tagged command: the status line and what came before it. */
interface Outcome {
  readonly status: 'OK' | 'NO' | 'BAD';
  readonly text: string;
  readonly failure: BearerFailure | undefined;
}

class ImapSignIn {
  readonly #conn: Conn;
  readonly #options: BearerSignInOptions;
  #capabilities: readonly string[] | undefined;
  #tag = 0;

  constructor(conn: Conn, options: BearerSignInOptions) {
    this.#conn = conn;
    this.#options = options;
  }

  async run(): Promise<BearerSignedIn> {
    const greeting = await this.#line();
    if (/^\* BYE\b/i.test(greeting)) throw hungUp(this.#options.host, greeting.slice(2));
    if (!/^\* OK\b/i.test(greeting)) throw unexpected(this.#options.host, greeting);
    this.#learn(greeting);
    if (this.#options.tls === 'starttls') await this.#starttls();
    const before = this.#capabilities ?? (await this.#ask());
    const offered = before.filter((name) => /^AUTH=/i.test(name)).map((name) => name.slice(5));
    const mechanism = chooseMechanism(this.#options, offered);
    const octets = mechanism.initial!;
    const direct = before.some((name) => name.toUpperCase() === 'SASL-IR');
    this.#capabilities = undefined;
    const outcome = await this.#command(
      `AUTHENTICATE ${mechanism.name}${direct ? ` ${encodeInitial(octets)}` : ''}`,
      direct ? undefined : encodeResponse(octets),
      (challenge) => answerChallenge(mechanism, challenge),
    );
    if (outcome.status !== 'OK') throw this.#refusal(outcome);
    return {
      mechanism: mechanism.name as BearerMechanism,
      greeting,
      capabilities: this.#capabilities ?? (await this.#ask()),
    };
  }

  async #starttls(): Promise<void> {
    const { host, secure } = this.#options;
    const offered = this.#capabilities ?? (await this.#ask());
    if (!offered.some((name) => name.toUpperCase() === 'STARTTLS')) throw stripped(host);
    const outcome = await this.#command('STARTTLS');
    if (outcome.status !== 'OK' || secure === undefined) throw stripped(host);
    await this.#conn.upgrade(secure);
    this.#capabilities = undefined; // RFC 9051 §6.2.1: what was said before TLS does not count
  }

  async #ask(): Promise<readonly string[]> {
    const outcome = await this.#command('CAPABILITY');
    if (outcome.status !== 'OK' || this.#capabilities === undefined) throw unexpected(this.#options.host, outcome.text);
    return this.#capabilities;
  }

  /**
   * @param pending what to send at the first continuation request
   * @param respond answers a challenge after that
   */
  async #command(
    command: string,
    pending?: string,
    respond?: (challenge: string) => { readonly send: Buffer; readonly failure?: BearerFailure },
  ): Promise<Outcome> {
    const tag = `p${++this.#tag}`;
    let failure: BearerFailure | undefined;
    let reply = pending;
    let challenges = 0;
    let others = 0;
    await this.#conn.writeInPieces(`${tag} ${command}\r\n`);
    for (;;) {
      const line = await this.#line();
      if (line.startsWith('+')) {
        if (++challenges > MAX_CHALLENGES) throw endless(this.#options.host);
        if (reply === undefined) {
          if (respond === undefined) throw unexpected(this.#options.host, line);
          const answer = respond(line.slice(1));
          failure = answer.failure ?? failure;
          reply = encodeResponse(answer.send);
        }
        await this.#conn.writeInPieces(`${reply}\r\n`);
        reply = undefined;
      } else if (line.startsWith(`${tag} `)) {
        const found = /^\S+ (OK|NO|BAD)\b/i.exec(line);
        if (!found) throw unexpected(this.#options.host, line);
        if (found[1]!.toUpperCase() === 'OK') this.#learn(line);
        return { status: found[1]!.toUpperCase() as Outcome['status'], text: line.slice(tag.length + 1), failure };
      } else if (/^\* BYE\b/i.test(line)) {
        throw hungUp(this.#options.host, line.slice(2));
      } else if (line.startsWith('* ') && ++others <= MAX_UNTAGGED) {
        this.#learn(line);
      } else {
        throw unexpected(this.#options.host, line);
      }
    }
  }

  #learn(line: string): void {
    const list = capabilityList(line);
    if (list) {
      const names = line.slice(list.from, list.to).split(' ');
      this.#capabilities = names.filter((name) => name !== '');
    }
  }

  #refusal({ text, failure }: Outcome): Error {
    const { host } = this.#options;
    // RFC 5530 §3, and Exchange's words when it throttles.
    if (
      /^NO \[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG)\]/i.test(text) ||
      /throttled|server (?:is )?unavailable/i.test(text)
    )
      return unavailable(host, text);
    return refused(host, text, failure);
  }

  async #line(): Promise<string> {
    const line = await this.#conn.line(REPLY_OCTETS, this.#options.signal);
    if (line === undefined) throw protocolError('wire.closed', `${this.#options.host} closed the connection`);
    return line.toString('utf8');
  }
}
