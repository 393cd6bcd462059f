/** What the three client halves share: choosing a bearer mechanism and reading a server's refusal. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { PosternError } from '../base/error.ts';
import { protocolError } from './errors.ts';
import { decodeResponse, encodeInitial, encodeResponse } from './sasl/line.ts';
import type { BearerFailure, ClientMechanism } from './sasl/mechanism.ts';
import { oauthbearerClient, type OauthbearerIdentity } from './sasl/oauthbearer.ts';
import { xoauth2Client } from './sasl/xoauth2.ts';

export type BearerMechanism = 'XOAUTH2' | 'OAUTHBEARER';

export interface BearerSignInOptions extends OauthbearerIdentity {
  readonly tls: 'implicit' | 'starttls' | 'none';
  /** Does the TLS handshake after STARTTLS; needed with `starttls`. */
  readonly secure?: (plain: Socket) => Promise<TLSSocket>;
  /** To try, best first, among those the server offers. */
  readonly mechanisms: readonly BearerMechanism[];
  /** Our name for EHLO. */
  readonly ehloName?: string;
  readonly signal?: AbortSignal;
}

export interface BearerSignedIn {
  readonly mechanism: BearerMechanism;
  readonly greeting: string;
  /** IMAP capabilities after sign-in, POP3 CAPA lines or SMTP EHLO lines before it. */
  readonly capabilities: readonly string[];
}

/** Servers announce many capabilities on one line; Gmail's and Dovecot's stay under 2 KiB. */
export const REPLY_OCTETS = 64 * 1024;

/** A failed bearer exchange has one challenge, or two when the server asked for the first response; more is a trap. */
const MAX_CHALLENGES = 4;

/** The mechanisms in the line of capabilities that begins so. */
export function mechanismsIn(lines: readonly string[], begins: RegExp): readonly string[] {
  const line = lines.find((one) => begins.test(one)) ?? '';
  return line.split(/[ =]/).slice(1);
}

/** One exchange with a mechanism that the server offers too. */
export class BearerExchange {
  readonly #host: string;
  readonly #mechanism: ClientMechanism;
  /** The first response is sent with the command; else it answers the first challenge. */
  direct = true;
  #challenges = 0;
  #failure: BearerFailure | undefined;

  /** @throws sasl.no-mechanism */
  constructor(options: BearerSignInOptions, offered: readonly string[]) {
    this.#host = options.host;
    this.#mechanism = chooseMechanism(options, offered);
  }

  get name(): BearerMechanism {
    return this.#mechanism.name as BearerMechanism;
  }

  /** The first response as part of a command. */
  get initial(): string {
    return encodeInitial(this.#mechanism.initial!);
  }

  /** The answer to a challenge. @throws sasl.malformed, wire.syntax (it does not come to an end) */
  answer(challenge: string): string {
    if (++this.#challenges > MAX_CHALLENGES)
      throw protocolError('wire.syntax', `${this.#host} does not come to an end with its challenges`, {
        detail: { host: this.#host },
      });
    if (!this.direct && this.#challenges === 1) return encodeResponse(this.#mechanism.initial!);
    const { send, failure } = this.#mechanism.next(decodeResponse(challenge.trim()));
    this.#failure = failure ?? this.#failure;
    return encodeResponse(send);
  }

  /** @param reply the server's own words, kept whole */
  refusal(reply: string, temporary: boolean): PosternError {
    return refusal(this.#host, reply, temporary, this.#failure);
  }
}

function chooseMechanism(options: BearerSignInOptions, offered: readonly string[]): ClientMechanism {
  const upper = offered.map((name) => name.toUpperCase());
  const name = options.mechanisms.find((mechanism) => upper.includes(mechanism));
  const { user, token, host, port } = options;
  if (name === 'XOAUTH2') return xoauth2Client({ user, token });
  if (name === 'OAUTHBEARER') return oauthbearerClient({ user, token, host, port });
  throw protocolError(
    'sasl.no-mechanism',
    `${host} does not offer sign-in with OAuth (it offers ${offered.join(', ') || 'nothing'})`,
    { detail: { offered } },
  );
}

/** The server could not be stopped from seeing plain text: nothing secret was sent. */
export function stripped(host: string): PosternError {
  return protocolError('tls.stripped', `${host} does not offer STARTTLS`, { detail: { host } });
}

/** @param temporary it could not check the sign-in */
export function refusal(host: string, reply: string, temporary: boolean, failure?: BearerFailure): PosternError {
  if (temporary)
    return protocolError('sasl.unavailable', `${host} cannot check the sign-in just now: ${reply}`, {
      detail: { host, reply },
    });
  return protocolError('sasl.refused', `${host} refused the sign-in: ${reply}`, {
    detail: { host, reply, ...(failure === undefined ? {} : { failure }) },
  });
}

/** The server ended the conversation or answered out of turn. */
export function hungUp(host: string, reply: string): PosternError {
  return protocolError('wire.closed', `${host} ended the conversation: ${reply}`, { detail: { host, reply } });
}

/** The server turns us away for good, before anybody signed in. */
export function turnedAway(host: string, reply: string): PosternError {
  return protocolError('wire.refused', `${host} does not take this connection: ${reply}`, { detail: { host, reply } });
}

export function unexpected(host: string, reply: string): PosternError {
  const text = reply.slice(0, 200);
  return protocolError('wire.syntax', `${host} does not answer as expected: ${text}`, {
    detail: { host, reply: text },
  });
}
