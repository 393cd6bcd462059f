/** The way to the provider: token, connection, sign-in; one more try when a token that looked good is refused. */
import { shellWord } from '../base/shell.ts';
import { asciiLine } from '../base/ascii-line.ts';
import type { Clock } from '../base/clock.ts';
import { asError, isError, type PosternError } from '../base/error.ts';
import { diagnose, remedyText } from '../oauth/catalogue/diagnose.ts';
import type { AccessToken, MailEndpoint, TokenSource } from '../oauth/types.ts';
import * as imap from '../protocol/imap/client.ts';
import * as pop3 from '../protocol/pop3/client.ts';
import * as smtp from '../protocol/smtp/client.ts';
import { connect, secureClient } from '../protocol/tls/connect.ts';
import type { Conn } from '../protocol/wire/conn.ts';
import { rowOf } from '../store/table/mailboxes.ts';
import type { Mailbox, Protocol } from '../store/types.ts';
import { Crowd } from './crowd.ts';
import { gatewayError } from './errors.ts';
import type { ReusableSessions } from './reuse.ts';
import { tooManySessions } from './session-limit.ts';
import { mailboxClosed } from './verdict.ts';

/** What is known of a session signed in at the provider. */
export interface SignedIn {
  readonly endpoint: MailEndpoint;
  readonly mechanism: string;
  /** IMAP capabilities, POP3 CAPA or SMTP EHLO lines as the provider gave them. */
  readonly capabilities: readonly string[];
  /** When the token it was opened with ends; milliseconds since the epoch. */
  readonly expiresAt: number;
  /** Another program of the mailbox was in it before. */
  readonly reused: boolean;
}

/** A connection signed in at the provider. */
export interface ProviderConnection extends SignedIn {
  readonly conn: Conn;
}

/** The same without the connection, for whoever has to know it after that has gone to others. */
export function signedInOf(connection: ProviderConnection): SignedIn {
  const { endpoint, mechanism, capabilities, expiresAt, reused } = connection;
  return { endpoint, mechanism, capabilities, expiresAt, reused };
}

export interface ProviderOptions {
  readonly tokens: TokenSource;
  readonly clock: Clock;
  /** The time of connections, when it is another. */
  readonly wall?: Clock;
  /** Milliseconds for everything together. */
  readonly upstreamMs: number;
  /** Our full domain name for EHLO; an address literal is used without one. */
  readonly ehloName: string | undefined;
  /** Sessions that their programs have left; without it each sign-in opens one. */
  readonly reusable?: ReusableSessions;
  /** Labels of the app passwords of a mailbox's open IMAP sessions, one for each session. */
  holders?(address: string): readonly string[];
}

const clients = { imap, pop3, smtp };

/**
 * A provider that refuses a mailbox for good (IMAP switched off, no permission) would otherwise cost a token renewal at
 * every poll of every mail program.
 */
const RENEW_AT_MOST_EVERY_MS = 5 * 60_000;
/** Lists of capabilities that are kept once for all sessions; a provider has a few versions of its servers. */
const MAX_LISTS = 100;

export class Provider {
  readonly #options: ProviderOptions;
  /** When a refused token of a mailbox was last thrown away, by protocol and address. */
  readonly #renewed = new Map<string, number>();
  readonly #capabilities = new Map<string, readonly string[]>();
  readonly #crowd: Crowd;

  constructor(options: ProviderOptions) {
    this.#options = options;
    this.#crowd = new Crowd(options.wall ?? options.clock);
  }

  /**
   * Signs in at the provider of a mailbox, or goes on in a session that is signed in with the token that would be used. At the
   * provider's limit of sessions it waits a while for one of ours to end. `signal` ends it early, with its reason.
   * @throws gateway.consent-needed, gateway.provider-refused, gateway.provider-unreachable, gateway.misconfigured, and
   *   store.unavailable or base.bug unchanged; the original is the cause and its code in `detail.code`
   */
  signIn(mailbox: Mailbox, protocol: Protocol, signal: AbortSignal): Promise<ProviderConnection> {
    return this.#bounded(mailbox, signal, async (stop) => {
      try {
        return await this.#signIn(mailbox, protocol, stop);
      } catch (error) {
        const crowded = (failure: unknown): boolean => protocol === 'imap' && this.#isCrowded(failure, mailbox.address);
        if (!crowded(error)) throw error;
        return await this.#crowd.retry(
          mailbox.address,
          error,
          crowded,
          () => this.#signIn(mailbox, protocol, stop),
          stop,
        );
      }
    });
  }

  /** An IMAP session of this mailbox has ended, or rests. */
  ended(address: string): void {
    this.#crowd.ended(address);
  }

  /** Refused because of too many sessions, some of which are ours. */
  #isCrowded(error: unknown, address: string): boolean {
    const holders = this.#options.holders?.(address) ?? [];
    if (holders.length === 0) return false;
    const { id } = diagnose(asError(error), { address });
    return tooManySessions(id, address, holders) !== undefined;
  }

  /**
   * The same for a session that is to outlive its token: only with one that lives longer than `after`.
   * @returns `not-renewed` when there is none yet. @throws as `signIn`
   */
  signInAgain(
    mailbox: Mailbox,
    protocol: Protocol,
    after: number,
    signal: AbortSignal,
  ): Promise<ProviderConnection | 'not-renewed'> {
    return this.#bounded(mailbox, signal, async (stop) => {
      const { expiresAt } = await this.#options.tokens.accessToken(mailbox, protocol, stop);
      return expiresAt > after ? this.#signIn(mailbox, protocol, stop) : 'not-renewed';
    });
  }

  /** Runs `work` until it is done, `signal` says stop or the time is over, and explains its failures. */
  async #bounded<T>(mailbox: Mailbox, signal: AbortSignal, work: (stop: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, wall = clock, upstreamMs } = this.#options;
    const stop = new AbortController();
    const forward = (): void => stop.abort(signal.reason);
    if (signal.aborted) forward();
    signal.addEventListener('abort', forward, { once: true });
    const limit = wall.after(upstreamMs, () =>
      stop.abort(gatewayError('gateway.provider-unreachable', 'the provider did not answer in time')),
    );
    try {
      return await work(stop.signal);
    } catch (error) {
      if (stop.signal.aborted) throw asError(stop.signal.reason);
      const application = await this.#options.tokens.applicationName?.(mailbox);
      throw explain(asError(error), mailbox, application, (address) => this.#options.holders?.(address) ?? []);
    } finally {
      limit.cancel();
      signal.removeEventListener('abort', forward);
    }
  }

  async #signIn(mailbox: Mailbox, protocol: Protocol, signal: AbortSignal): Promise<ProviderConnection> {
    const { tokens } = this.#options;
    const endpoint = await tokens.endpoint(mailbox, protocol);
    const token = await tokens.accessToken(mailbox, protocol, signal);
    if (protocol === 'imap' && this.#options.reusable !== undefined) {
      const resting = await this.#options.reusable.take(mailbox.address, endpoint, token.expiresAt, signal);
      if (resting !== 'none') return resting;
    }
    try {
      return await this.#open(endpoint, token, signal);
    } catch (error) {
      if (!isError(error, 'sasl.refused') || !this.#mayRenew(`${protocol} ${mailbox.address}`)) throw error;
      tokens.reject(token);
      return await this.#open(endpoint, await tokens.accessToken(mailbox, protocol, signal), signal);
    }
  }

  /** The extensions an SMTP or POP3 endpoint announces to anybody. @throws wire.*, tls.* */
  async probe(endpoint: MailEndpoint, protocol: 'smtp' | 'pop3', signal: AbortSignal): Promise<readonly string[]> {
    const conn = await this.#connect(endpoint, signal);
    try {
      const options = { tls: endpoint.tls, secure: this.#secure(endpoint, signal), ...this.#ehlo(conn), signal };
      return await clients[protocol].probeExtensions(conn, options);
    } finally {
      conn.end();
    }
  }

  async #open(endpoint: MailEndpoint, token: AccessToken, signal: AbortSignal): Promise<ProviderConnection> {
    const conn = await this.#connect(endpoint, signal);
    try {
      const { host, port, tls, user, mechanisms } = endpoint;
      const signedIn = await clients[endpoint.protocol].signIn(conn, {
        tls,
        secure: this.#secure(endpoint, signal),
        user,
        token: token.value,
        host,
        port,
        mechanisms,
        ...this.#ehlo(conn),
        signal,
      });
      return {
        conn,
        endpoint,
        mechanism: signedIn.mechanism,
        capabilities: this.#shared(signedIn.capabilities),
        expiresAt: token.expiresAt,
        reused: false,
      };
    } catch (error) {
      conn.destroy();
      throw error;
    }
  }

  /** Sessions keep what their server can do for as long as they live, and many have the same server. */
  #shared(capabilities: readonly string[]): readonly string[] {
    const text = capabilities.join(' ');
    const known = this.#capabilities.get(text);
    if (known !== undefined) return known;
    if (this.#capabilities.size >= MAX_LISTS) this.#capabilities.clear();
    this.#capabilities.set(text, capabilities);
    return capabilities;
  }

  #connect({ host, port, tls, trust }: MailEndpoint, signal: AbortSignal): Promise<Conn> {
    return connect({ host, port, tls, trust, intake: true, timeoutMs: this.#options.upstreamMs, signal });
  }

  #secure({ host, trust }: MailEndpoint, signal: AbortSignal) {
    return (plain: Parameters<typeof secureClient>[0]) =>
      secureClient(plain, { host, trust, timeoutMs: this.#options.upstreamMs, signal });
  }

  /** RFC 5321 §4.1.3, §4.1.4: a full domain name, or the address we come from. */
  #ehlo(conn: Conn): { readonly ehloName: string } {
    const address = conn.socket.localAddress ?? '127.0.0.1';
    return { ehloName: this.#options.ehloName ?? (address.includes(':') ? `[IPv6:${address}]` : `[${address}]`) };
  }

  #mayRenew(key: string): boolean {
    const now = this.#options.clock.now();
    const last = this.#renewed.get(key);
    if (last !== undefined && now - last < RENEW_AT_MOST_EVERY_MS) return false;
    for (const [old, at] of this.#renewed) {
      if (now - at < RENEW_AT_MOST_EVERY_MS) break; // the map is in order of time
      this.#renewed.delete(old);
    }
    this.#renewed.delete(key);
    this.#renewed.set(key, now);
    return true;
  }
}

/**
 * The same failure as the mail program should take it: its app password was right, so nothing may look like a wrong one. Cause
 * and next step come from the catalogue, since the people who read a mail program's error seldom see our log.
 */
function explain(
  error: PosternError,
  mailbox: Mailbox,
  application: string | undefined,
  holders: (address: string) => readonly string[],
): PosternError {
  const { address } = mailbox;
  const { code, kind, retryAt } = error;
  if (code === 'oauth.suspended')
    return mailboxClosed(typeof error.detail['reason'] === 'string' ? error.detail['reason'] : undefined, error);
  if (kind === 'bug' || code.startsWith('store.') || code.startsWith('gateway.')) return error;
  const named = application === undefined ? {} : { application };
  const { id, cause, passesWhen, remedy } = diagnose(error, { address, row: rowOf(mailbox), ...named });
  const reply = error.detail['reply'];
  const more = `\`postern check ${shellWord(address)}\` says more`;
  const next = oneLine(remedyText(remedy.slice(0, 1)));
  const facts = {
    detail: { code, diagnosis: id, ...named, ...(reply === undefined ? {} : { reply }) },
    ...(retryAt === undefined ? {} : { retryAt }),
    cause: error,
  };
  const busy = POP3_BUSY.exec(typeof reply === 'string' ? reply : '')?.[1]?.toUpperCase();
  if (busy === 'IN-USE')
    return gatewayError('gateway.maildrop-in-use', `${address} is open in another POP3 session`, facts);
  if (busy === 'LOGIN-DELAY')
    return gatewayError('gateway.login-delay', `the provider does not open ${address} again so soon`, facts);
  const options = {
    ...facts,
    hint: `the app password is right; ${passesWhen === undefined ? lasts(id) : `this passes by itself when ${oneLine(passesWhen)}`}; ${next === '' || next.includes('postern check') ? more : `${next}; ${more}`}`,
  };
  const crowd = tooManySessions(id, address, holders(address));
  if (crowd !== undefined)
    return gatewayError('gateway.provider-unreachable', oneLine(crowd.text), {
      ...facts,
      detail: { ...facts.detail, diagnosis: crowd.diagnosis },
      hint: crowd.hint,
    });
  const why = oneLine(cause);
  if (code === 'sasl.refused')
    return gatewayError('gateway.provider-refused', `the provider does not let ${address} in: ${why}`, options);
  if (kind === 'denied')
    return gatewayError('gateway.consent-needed', deniedText(code, id, address, id === code ? '' : why), options);
  if (kind === 'misuse' || kind === 'refused')
    return gatewayError('gateway.misconfigured', `the provider of ${address} cannot be used: ${why}`, options);
  return gatewayError('gateway.provider-unreachable', `the provider of ${address} is not available: ${why}`, options);
}

/** RFC 2449 §8.1.1, §8.1.2. */
const POP3_BUSY = /^-ERR \[(IN-USE|LOGIN-DELAY)\]/i;

/**
 * What is the matter, by who has to act: a policy of the organisation, a device or a missing assignment is no consent that ended.
 * What no row of the catalogue says may quote the provider, which is for the log only.
 */
export function deniedText(code: string, row: string, address: string, why: string): string {
  const more = why === '' ? '' : `: ${why}`;
  if (code === 'oauth.admin-consent') return `the organisation does not let ${address} in${more}`;
  if (code === 'oauth.suspended') return `${address} is suspended here${more}`;
  if (code !== 'oauth.needs-consent' && code !== 'oauth.answer-lost') return `${address} is not let in${more}`;
  return why === '' || ENDED.has(row)
    ? `the consent for ${address} has ended${more}`
    : `${address} has to be signed in to again${more}`;
}

/** Rows of the catalogue where it is the consent itself that is over. */
const ENDED: ReadonlySet<string> = new Set([
  'oauth.lost-answer',
  'microsoft.grant-revoked',
  'microsoft.grant-inactive',
  'microsoft.grant-malformed',
  'microsoft.redirect-single-page',
  'google.grant-ended',
  'oauth.grant-ended',
  'oauth.no-refresh-token',
]);

/** A peer's words as part of one line of ours: printable, bounded. */
function oneLine(text: string): string {
  return asciiLine(text, 200);
}

/** A refusal without a reason says nothing of how long it holds: a setting at the provider, or its clock, may have been corrected. */
function lasts(id: string): string {
  return id === 'sasl.refused'
    ? 'the provider does not say why, so this may pass by itself or not'
    : 'this does not pass by itself';
}
