/** What the three server halves share: everything before sign-in, and how a verdict is put into words. */
import { asciiLine } from '../base/ascii-line.ts';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { PosternError } from '../base/error.ts';
import { isError } from '../base/error.ts';
import type { Credentials, MechanismName } from './sasl/mechanism.ts';
import { bearerFailure, serverMechanism } from './sasl/mechanisms.ts';
import { CANCEL, decodeInitial, decodeResponse, encodeResponse } from './sasl/line.ts';
import type { Conn } from './wire/conn.ts';

export interface SignInOptions {
  /** Our name in greetings. */
  readonly hostname: string;
  /** Does the TLS handshake; STARTTLS is offered when set and the connection is still plain. */
  readonly secure?: (plain: Socket) => Promise<TLSSocket>;
  /** Sign-in without TLS is allowed (loopback). */
  readonly allowPlain: boolean;
  /** Offer XOAUTH2 and OAUTHBEARER too. */
  readonly bearer: boolean;
  /** Most octets of a line. RFC 4954 §4 wants 12,288 for AUTH. */
  readonly lineOctets: number;
  /** Most octets of a literal (IMAP). */
  readonly literalOctets: number;
  /** Failed sign-ins before the connection is closed. */
  readonly maxFailures: number;
  readonly signal?: AbortSignal;
  /** SMTP EHLO or POP3 CAPA lines the path behind can honour. */
  readonly extensions?: () => Promise<readonly string[]>;
  /** Judges credentials; may take seconds, during which nothing more is read. Must not reject. */
  verify(credentials: Credentials): Promise<Verdict>;
}

export type Verdict =
  /** `capabilities`: announced in IMAP's tagged OK. */
  | { readonly type: 'accept'; readonly capabilities?: readonly string[]; readonly text?: string }
  /** `bye`: close the connection after the answer. */
  | { readonly type: 'refuse'; readonly error: PosternError; readonly bye?: boolean };

export interface SignedIn {
  readonly mechanism: MechanismName;
  readonly user: string;
}

/** Commands nobody needs before sign-in: a program that sends so many is guessing or not speaking this protocol. */
export const MAX_BAD_COMMANDS = 10;

/** Commands of any sort before sign-in. Programs need five; the limit on time alone would let thousands be answered. */
export const MAX_COMMANDS = 100;
export const TOO_MANY = 'too many commands before sign-in';

/** An HTTP request line: a browser, or a page that makes one, sends commands in its body (cross-protocol attack). */
export const HTTP = /^(?:GET|POST|PUT|HEAD|OPTIONS|CONNECT|DELETE|PATCH|TRACE) \S+ HTTP\//i;

/** A line that breaks the bounds or is no line. The connection cannot be used further. */
export function isUnreadable(error: unknown): error is PosternError {
  return isError(error) && /^wire\.(?:line-too-long|literal-too-long|bare-newline)$/.test(error.code);
}

/** What happened and what to do, as one line any of the protocols can carry: printable ASCII, bounded. */
export function replyText(error: PosternError): string {
  return oneLine(`${error.message} (${error.hint})`);
}

/** Any text as part of a reply: printable ASCII, bounded. */
export function oneLine(words: string): string {
  return asciiLine(words, MAX_TEXT);
}

/** RFC 5321 §4.5.3.1.5 and RFC 1939 §3 allow 512 octets for a reply line; codes and tag need some. */
const MAX_TEXT = 440;

/**
 * An EHLO or CAPA line of the path behind that may be announced: printable, starting as an extension does (RFC 5321 §4.1.1.1).
 * A line of one dot would end CAPA's answer, CR and LF would be replies of their own.
 */
export function isAnnounceable(line: string): boolean {
  return /^[A-Za-z0-9][\x20-\x7e]{0,499}$/.test(line);
}

/** How a SASL exchange ended without a verdict. */
export type Exchange =
  | { readonly type: 'credentials'; readonly credentials: Credentials }
  | { readonly type: 'cancelled' }
  | { readonly type: 'malformed'; readonly error: PosternError }
  | { readonly type: 'unknown-mechanism' }
  | { readonly type: 'closed' };

/**
 * Runs the server side of one SASL exchange (RFC 4422 §5).
 * @param prefix what stands before a challenge: `+ ` (RFC 9051 §6.2.2, RFC 5034 §4) or `334 ` (RFC 4954 §4).
 */
export async function exchange(
  conn: Conn,
  name: string,
  initial: string | undefined,
  prefix: string,
  offered: readonly MechanismName[],
  options: SignInOptions,
): Promise<Exchange> {
  const mechanism = serverMechanism(name, offered);
  if (!mechanism) return { type: 'unknown-mechanism' };
  try {
    let challenge = mechanism.first;
    let response = initial === undefined ? undefined : decodeInitial(initial);
    for (;;) {
      if (response === undefined) {
        await conn.write(`${prefix}${encodeResponse(challenge)}\r\n`);
        const line = (await conn.line(options.lineOctets, options.signal))?.toString('latin1');
        if (line === undefined) return { type: 'closed' };
        if (line === CANCEL) return { type: 'cancelled' };
        response = decodeResponse(line.trimEnd());
      }
      const step = mechanism.next(response);
      if (step.type === 'credentials') return step;
      challenge = step.send;
      response = undefined;
    }
  } catch (error) {
    if (isError(error, 'sasl.malformed')) return { type: 'malformed', error };
    throw error;
  }
}

/**
 * The error challenge before a bearer token is refused (RFC 7628 §3.2.3, Google "XOAUTH2 mechanism"): a JSON report, and the
 * client's answer to it, whose content does not matter. Only for `denied`: it tells programs to renew the token.
 * @returns `closed` when the client left instead
 */
export async function reportFailure(
  conn: Conn,
  { mechanism }: Credentials,
  error: PosternError,
  prefix: string,
  options: SignInOptions,
): Promise<'reported' | 'closed'> {
  const report = error.kind === 'denied' ? bearerFailure(mechanism) : undefined;
  if (report === undefined) return 'reported';
  await conn.write(`${prefix}${encodeResponse(report)}\r\n`);
  return (await conn.line(options.lineOctets, options.signal)) === undefined ? 'closed' : 'reported';
}
