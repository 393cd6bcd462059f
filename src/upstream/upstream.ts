/** The way to the provider: token, connection, sign-in; one more try when a token that looked good is refused. */
import type { Clock } from '../base/clock.ts';
import { asError, isError } from '../base/error.ts';
import { diagnose } from '../oauth/catalogue/diagnose.ts';
import type { AccessToken, MailEndpoint, TokenSource } from '../oauth/types.ts';
import type { Conn } from '../protocol/wire/conn.ts';
import type { Mailbox } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import { Crowd } from './crowd.ts';
import { upstreamError } from './errors.ts';
import { explain } from './explain.ts';
import { tooManySessions } from './session-limit.ts';
import { connectTo, probeExtensions, signInWithToken, type SignInLimits } from './sign-in.ts';

/** What is known of a session signed in at a server. */
export interface UpstreamSession {
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
export interface UpstreamConnection extends UpstreamSession {
  readonly conn: Conn;
}

/** The same without the connection, for whoever has to know it after that has gone to others. */
export function sessionOf(connection: UpstreamConnection): UpstreamSession {
  const { endpoint, mechanism, capabilities, expiresAt, reused } = connection;
  return { endpoint, mechanism, capabilities, expiresAt, reused };
}

/** A session as whoever sends or reads mail in it needs it: at a provider, or at a server that relays. */
export type MailSession = Pick<UpstreamConnection, 'conn' | 'capabilities' | 'expiresAt'> & {
  readonly endpoint: { readonly host: string };
};

/** Opens one for a mailbox. @throws as {@link Upstream.signIn} */
export type SignInAt = (mailbox: Mailbox, protocol: Protocol, signal: AbortSignal) => Promise<MailSession>;

export interface UpstreamOptions {
  readonly tokens: TokenSource;
  readonly clock: Clock;
  /** The time of connections, when it is another. */
  readonly wall?: Clock;
  /** Milliseconds for everything together. */
  readonly upstreamMs: number;
  /** Our full domain name for EHLO; an address literal is used without one. */
  readonly ehloName: string | undefined;
  /** Sessions that their programs have left; without it each sign-in opens one. */
  readonly reusable?: {
    /** One signed in at this endpoint with the token that would be used now, known by its end. @throws the signal's reason */
    take(
      address: string,
      endpoint: MailEndpoint,
      expiresAt: number,
      signal: AbortSignal,
    ): Promise<UpstreamConnection | 'none'>;
  };
  /** Labels of the app passwords of a mailbox's open IMAP sessions, one for each session. */
  holders?(address: string): readonly string[];
}

/**
 * A provider that refuses a mailbox for good (IMAP switched off, no permission) would otherwise cost a token renewal at
 * every poll of every mail program. The pause grows while no sign-in succeeds: a refusal after one that did has a new cause.
 */
const RENEWAL_GAP = { baseMs: 60_000, maxMs: 5 * 60_000 };
/** Lists of capabilities that are kept once for all sessions; a provider has a few versions of its servers. */
const MAX_LISTS = 100;

export class Upstream {
  readonly #options: UpstreamOptions;
  /** When a refused token of a mailbox was last thrown away and how long the next is kept, by protocol and address. */
  readonly #renewed = new Map<string, { readonly at: number; readonly gapMs: number }>();
  readonly #capabilities = new Map<string, readonly string[]>();
  readonly #crowd: Crowd;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#crowd = new Crowd(options.wall ?? options.clock);
  }

  /**
   * Signs in at the provider of a mailbox, or goes on in a session that is signed in with the token that would be used. At the
   * provider's limit of sessions it waits a while for one of ours to end. `signal` ends it early, with its reason.
   * @throws gateway.consent-needed, gateway.provider-refused, gateway.provider-unreachable, gateway.misconfigured, and
   *   store.unavailable or base.bug unchanged; the original is the cause and its code in `detail.code`
   */
  signIn(mailbox: Mailbox, protocol: Protocol, signal: AbortSignal): Promise<UpstreamConnection> {
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
  ): Promise<UpstreamConnection | 'not-renewed'> {
    return this.#bounded(mailbox, signal, async (stop) => {
      const { expiresAt } = await this.#options.tokens.accessToken(mailbox, protocol, stop);
      return expiresAt > after ? this.#signIn(mailbox, protocol, stop) : 'not-renewed';
    });
  }

  /** Runs `work` until it is done, `signal` says stop or the time is over, and explains its failures. */
  async #bounded<T>(mailbox: Mailbox, signal: AbortSignal, work: (stop: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, wall = clock, upstreamMs } = this.#options;
    const late = new AbortController();
    const stop = AbortSignal.any([signal, late.signal]);
    const limit = wall.after(upstreamMs, () =>
      late.abort(upstreamError('gateway.provider-unreachable', 'the provider did not answer in time')),
    );
    try {
      return await work(stop);
    } catch (error) {
      if (stop.aborted) throw asError(stop.reason);
      const application = await this.#options.tokens.applicationName?.(mailbox);
      throw explain(asError(error), mailbox, application, (address) => this.#options.holders?.(address) ?? []);
    } finally {
      limit.cancel();
    }
  }

  async #signIn(mailbox: Mailbox, protocol: Protocol, signal: AbortSignal): Promise<UpstreamConnection> {
    const { tokens } = this.#options;
    const endpoint = await tokens.endpoint(mailbox, protocol);
    const token = await tokens.accessToken(mailbox, protocol, signal);
    if (protocol === 'imap' && this.#options.reusable !== undefined) {
      const resting = await this.#options.reusable.take(mailbox.address, endpoint, token.expiresAt, signal);
      if (resting !== 'none') return resting;
    }
    const key = `${protocol} ${mailbox.address}`;
    try {
      const opened = await this.#open(endpoint, token, signal);
      this.#works(key);
      return opened;
    } catch (error) {
      if (!isError(error, 'sasl.refused')) throw error;
      // The authority said why there is no better token; the mail server only shows that this one is over.
      if (token.notRenewed !== undefined) throw token.notRenewed;
      if (!this.#mayRenew(key)) throw error;
      tokens.reject(token);
      return await this.#open(endpoint, await tokens.accessToken(mailbox, protocol, signal), signal);
    }
  }

  /** The extensions an SMTP or POP3 endpoint announces to anybody. @throws wire.*, tls.* */
  probe(endpoint: MailEndpoint, protocol: 'smtp' | 'pop3', signal: AbortSignal): Promise<readonly string[]> {
    return probeExtensions(endpoint, protocol, this.#limits(signal));
  }

  async #open(endpoint: MailEndpoint, token: AccessToken, signal: AbortSignal): Promise<UpstreamConnection> {
    const limits = this.#limits(signal);
    const conn = await connectTo(endpoint, limits);
    try {
      const { mechanism, capabilities } = await signInWithToken(conn, endpoint, token.value, limits);
      const { expiresAt } = token;
      return { conn, endpoint, mechanism, capabilities: this.#shared(capabilities), expiresAt, reused: false };
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

  #limits(signal: AbortSignal): SignInLimits {
    return { timeoutMs: this.#options.upstreamMs, signal, ehloName: this.#options.ehloName };
  }

  #mayRenew(key: string): boolean {
    const now = this.#options.clock.now();
    const last = this.#renewed.get(key);
    if (last !== undefined && last.at <= now && now - last.at < last.gapMs) return false;
    for (const [old, { at }] of this.#renewed) {
      if (now - at < 2 * RENEWAL_GAP.maxMs) break; // the map is in order of time
      this.#renewed.delete(old);
    }
    this.#renewed.delete(key);
    const gapMs = last === undefined ? RENEWAL_GAP.baseMs : Math.min(2 * last.gapMs, RENEWAL_GAP.maxMs);
    this.#renewed.set(key, { at: now, gapMs });
    return true;
  }

  /** Forgets how often it was refused, not that a token was thrown away a moment ago. */
  #works(key: string): void {
    const last = this.#renewed.get(key);
    if (last !== undefined && last.gapMs > RENEWAL_GAP.baseMs)
      this.#renewed.set(key, { at: last.at, gapMs: RENEWAL_GAP.baseMs });
  }
}
