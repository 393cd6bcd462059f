/** Access tokens for the gateway: from memory in microseconds, renewed on use, one renewal at a time everywhere. */
import { shellWord } from '../base/shell.ts';
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { backoffMs } from '../base/backoff.ts';
import { asError, isError, type PosternError } from '../base/error.ts';
import type { Secret } from '../base/secret.ts';
import { rowOf } from '../store/table/mailboxes.ts';
import type { Application, Grant, Mailbox } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import { checkAccessTokenAudience } from './access-token.ts';
import { type Circuits, openCircuits } from './circuit.ts';
import type { Client } from './engines.ts';
import { oauthError } from './errors.ts';
import type { OAuthEvent } from './events.ts';
import { endpointOf } from './mail-endpoint.ts';
import { type GrantTokens, openTokens } from './grant-tokens.ts';
import { type ProviderProfile, resolveProvider } from './provider.ts';
import { renew } from './renewal.ts';
import type { RenewalDeps } from './renewal-deps.ts';
import type { CredentialRefused } from './roll-over.ts';
import { isFromTheFuture, LEAST_LEFT_MS, renewOnUseAt } from './schedule.ts';
import { requireOpen } from './suspension.ts';
import type { AccessToken, MailEndpoint, TokenSource } from './types.ts';

export interface TokenSourceDeps extends Omit<RenewalDeps, 'circuits' | 'client' | 'owner'> {
  /** Names this process in leases; by default host, process id and a random part. */
  readonly owner?: string;
  /** Default: circuits of its own, known to nobody else. */
  readonly circuits?: Circuits;
  /** How long a token request may take. Default 30 s. */
  readonly timeoutMs?: number;
}

/** Call once per process. `close` waits for renewals under way, whose answers must be stored. */
export function openTokenSource(deps: TokenSourceDeps): OpenedTokenSource {
  return new CachingTokenSource(deps);
}

export interface OpenedTokenSource extends TokenSource {
  /** What renews here, for the duty of renewal to share: the same clients, circuits and name in leases. */
  readonly renewal: RenewalDeps;
  close(): Promise<void>;
}

/** With a token that still works nobody waits longer than this for a new one. */
const PATIENCE_MS = 3000;
/** A token that replaced a refused one and is refused this soon will not get better by a third. */
const REPLACED_AT_MOST_EVERY_MS = 60_000;
/** A grant that needs a person is looked at again this often, should another process’s change go unheard. */
const DENIED_AGAIN_MS = 30_000;

interface Entry {
  readonly token: AccessToken;
  readonly renewAt: number;
  /** The store changed since: compare generations before the next use. */
  stale: boolean;
}

interface Failure {
  readonly error: PosternError;
  readonly at: number;
  readonly until: number;
  readonly attempts: number;
}

class CachingTokenSource implements OpenedTokenSource {
  readonly #deps: TokenSourceDeps;
  readonly renewal: RenewalDeps;
  readonly #entries = new Map<string, Entry>();
  readonly #failures = new Map<string, Failure>();
  readonly #rejected = new Map<string, string>();
  /** When a refused token of a grant was last replaced. */
  readonly #replacedAt = new Map<string, number>();
  readonly #inFlight = new Map<string, Promise<Entry>>();
  readonly #clients = new Map<string, Promise<Client>>();
  readonly #profiles = new Map<string, Promise<ProviderProfile>>();
  readonly #grants = new Map<string, Promise<Grant | undefined>>();
  readonly #refusedCredentials = new Map<string, Map<string, PosternError>>();
  readonly #watches: readonly { stop(): void }[];
  readonly #closing = new AbortController();

  constructor(deps: TokenSourceDeps) {
    this.#deps = deps;
    this.renewal = {
      ...deps,
      circuits: deps.circuits ?? openCircuits(deps.clock),
      emit: (event) => this.#emit(event),
      owner: deps.owner ?? `${hostname()}:${process.pid}:${randomBytes(6).toString('hex')}`,
      client: (applicationId) => this.#client(applicationId),
    };
    this.#watches = [
      deps.store.watch('grants', () => this.#grantsChanged()),
      deps.store.watch('applications', () => this.#applicationsChanged()),
    ];
  }

  async accessToken(mailbox: Mailbox, protocol: Protocol, signal?: AbortSignal): Promise<AccessToken> {
    requireProtocol(mailbox, protocol);
    requireOpen(mailbox);
    const entry = this.#entries.get(mailbox.grantId);
    const now = this.#deps.clock.now();
    if (entry && !entry.stale && now < entry.renewAt) return entry.token;
    signal?.throwIfAborted();
    return this.#obtain(mailbox.grantId, signal);
  }

  async renewedToken(mailbox: Mailbox, protocol: Protocol, signal?: AbortSignal): Promise<AccessToken> {
    requireProtocol(mailbox, protocol);
    requireOpen(mailbox);
    const { grantId } = mailbox;
    const askedAt = this.#deps.clock.now();
    const { tokens } = await renew(
      this.renewal,
      grantId,
      ({ obtainedAt }) => obtainedAt > askedAt,
      signal,
      'diagnosis',
    );
    this.#failures.delete(grantId);
    this.#rejected.delete(grantId);
    return this.#keep(grantId, tokens, renewOnUseAt(grantId, tokens)).token;
  }

  async endpoint(mailbox: Mailbox, protocol: Protocol): Promise<MailEndpoint> {
    requireProtocol(mailbox, protocol);
    const grant = await this.#grant(mailbox.grantId);
    if (!grant) throw oauthError('oauth.needs-consent', `the grant of ${mailbox.address} is gone`);
    return endpointOf(await this.#profile(grant.applicationId), grant, mailbox, protocol);
  }

  async applicationName(mailbox: Mailbox): Promise<string | undefined> {
    try {
      const grant = await this.#grant(mailbox.grantId);
      return grant && (await this.#application(grant.applicationId)).name;
    } catch (error) {
      this.#deps.log.debug({ code: asError(error).code }, 'the application of a mailbox is not known');
      return undefined;
    }
  }

  refusedCredentials(applicationId: string): ReadonlyMap<string, PosternError> {
    return this.#refusedCredentials.get(applicationId) ?? new Map();
  }

  reject(token: AccessToken): void {
    const entry = this.#entries.get(token.grantId);
    if (!entry || entry.token.value.reveal() !== token.value.reveal()) return;
    const now = this.#deps.clock.now();
    const replacedAt = this.#replacedAt.get(token.grantId);
    if (replacedAt !== undefined && isBetween(replacedAt, now, replacedAt + REPLACED_AT_MOST_EVERY_MS)) return;
    this.#replacedAt.set(token.grantId, now);
    this.#rejected.set(token.grantId, token.value.reveal());
    this.#entries.delete(token.grantId);
  }

  async close(): Promise<void> {
    this.#closing.abort(shuttingDown());
    for (const watch of this.#watches) watch.stop();
    await Promise.allSettled(this.#inFlight.values());
    const clients = await Promise.allSettled(this.#clients.values());
    for (const client of clients) if (client.status === 'fulfilled') await client.value.close();
  }

  /** The slow path: something is to be read or renewed. A caller that goes away stops waiting, never the work. */
  async #obtain(grantId: string, signal: AbortSignal | undefined): Promise<AccessToken> {
    const { clock } = this.#deps;
    const usable = this.#usable(grantId);
    const failure = this.#failures.get(grantId);
    if (failure && isBetween(failure.at, clock.now(), failure.until)) {
      if (usable && !isSuspended(failure.error)) return usable;
      throw failure.error;
    }
    this.#closing.signal.throwIfAborted();
    const work = this.#inFlight.get(grantId) ?? this.#start(grantId);
    if (!usable) return (await unlessAborted(work, signal)).token;

    // The old token is good for a while: a slow or absent provider is no reason to keep a mail program waiting.
    const patience = new AbortController();
    const old = clock.sleep(PATIENCE_MS, patience.signal).then(
      () => usable,
      () => usable,
    );
    const renewed = work.then(
      (entry) => entry.token,
      (error: unknown) => {
        if (isSuspended(asError(error))) throw error;
        return this.#usable(grantId) ?? usable;
      },
    );
    try {
      return await unlessAborted(Promise.race([renewed, old]), signal);
    } finally {
      patience.abort();
    }
  }

  /** What may be handed out while its successor is on the way. */
  #usable(grantId: string): AccessToken | undefined {
    const entry = this.#entries.get(grantId);
    return entry && entry.token.expiresAt - this.#deps.clock.now() >= LEAST_LEFT_MS ? entry.token : undefined;
  }

  #start(grantId: string): Promise<Entry> {
    const work = this.#renew(grantId).finally(() => this.#inFlight.delete(grantId));
    this.#inFlight.set(grantId, work);
    // Whoever waits hears of it; when nobody does any more it is on record all the same.
    work.catch((error: unknown) => this.#deps.log.debug({ grantId, code: asError(error).code }, 'no token'));
    return work;
  }

  async #renew(grantId: string): Promise<Entry> {
    const { clock } = this.#deps;
    const rejected = this.#rejected.get(grantId);
    let stored: GrantTokens | undefined;
    const known = await this.#grant(grantId);
    const profile = known && (await this.#profile(known.applicationId));
    const isFresh = (tokens: GrantTokens): boolean => {
      const refused = tokens.accessToken.reveal() === rejected || (profile && !isForMail(tokens.accessToken, profile));
      stored = refused ? undefined : tokens;
      if (!stored || isFromTheFuture(tokens, clock.now())) return false;
      return clock.now() < renewOnUseAt(grantId, tokens);
    };
    try {
      const { tokens } = await renew(this.renewal, grantId, isFresh, this.#closing.signal);
      this.#failures.delete(grantId);
      this.#rejected.delete(grantId);
      return this.#keep(grantId, tokens, renewOnUseAt(grantId, tokens));
    } catch (thrown) {
      const error = asError(thrown);
      const { until } = this.#remember(grantId, error);
      // What is stored may be good for minutes yet: longer than an outage, or long enough for the owner to hear of it.
      const left = stored ?? (await this.#left(grantId, rejected).catch(() => undefined));
      if (!left || isSuspended(error) || left.expiresAt - clock.now() < LEAST_LEFT_MS) throw error;
      return this.#keep(grantId, left, Math.min(until, left.expiresAt - LEAST_LEFT_MS), error);
    }
  }

  /** The last token of a grant that is not renewed any more. */
  async #left(grantId: string, rejected: string | undefined): Promise<GrantTokens | undefined> {
    const grant = await this.#deps.store.grants.find(grantId);
    if (grant?.state.type !== 'needs-consent') return undefined;
    const tokens = await openTokens(this.#deps.vault, grant);
    if (!tokens || isFromTheFuture(tokens, this.#deps.clock.now())) return undefined;
    return tokens.accessToken.reveal() === rejected ? undefined : tokens;
  }

  #keep(grantId: string, tokens: GrantTokens, renewAt: number, failure?: PosternError): Entry {
    const { accessToken: value, expiresAt, scopes } = tokens;
    const notRenewed = failure === undefined || failure.kind === 'later' ? {} : { notRenewed: failure };
    const entry: Entry = { token: { value, expiresAt, scopes, grantId, ...notRenewed }, renewAt, stale: false };
    this.#entries.set(grantId, entry);
    return entry;
  }

  /** One failed request answers the storm of sign-ins that follows it. */
  #remember(grantId: string, error: PosternError): Failure {
    const at = this.#deps.clock.now();
    const attempts = (this.#failures.get(grantId)?.attempts ?? 0) + 1;
    const pause =
      error.kind === 'denied' || error.kind === 'misuse'
        ? DENIED_AGAIN_MS
        : backoffMs(attempts - 1, { baseMs: 1000, maxMs: 60_000 });
    const until = Math.max(at + pause, error.retryAt?.getTime() ?? 0);
    if (isSuspended(error)) this.#entries.delete(grantId);
    const failure = { error, at, until, attempts };
    this.#failures.set(grantId, failure);
    return failure;
  }

  /** A record that cannot be written must not cost anybody the token that is already stored. */
  async #emit(event: OAuthEvent): Promise<void> {
    try {
      await this.#deps.emit(event);
    } catch (error) {
      this.#deps.log.error({ type: event.type, code: asError(error).code }, 'an event could not be recorded');
    }
  }

  #grantsChanged(): void {
    this.#grants.clear();
    for (const entry of this.#entries.values()) entry.stale = true;
    // A new consent must count at once. An outage is not over because somebody wrote a row.
    for (const [id, failure] of this.#failures) if (failure.error.kind === 'denied') this.#failures.delete(id);
  }

  #applicationsChanged(): void {
    const old = [...this.#clients.values()];
    this.#clients.clear();
    this.#profiles.clear();
    this.#failures.clear();
    this.#refusedCredentials.clear();
    // Requests under way end in their own time: closing waits for them.
    for (const client of old) {
      client
        .then((open) => open.close())
        .catch((error: unknown) =>
          this.#deps.log.debug({ code: asError(error).code }, 'a replaced client did not close'),
        );
    }
  }

  /** The engines are loaded with the first renewal: a sign-in with a token at hand needs none of them. */
  #client(applicationId: string): Promise<Client> {
    return remembered(this.#clients, applicationId, async () => {
      const application = await this.#application(applicationId);
      const { openClient } = await import('./engines.ts');
      const credentialRefused: CredentialRefused = (facts, error) => {
        const refused = this.#refusedCredentials.get(applicationId) ?? new Map<string, PosternError>();
        this.#refusedCredentials.set(applicationId, refused.set(facts.id, error));
        const event = { applicationId, credentialId: facts.id, reason: error.message };
        void this.#emit({ type: 'credential.refused', ...event });
      };
      return openClient({ ...this.#deps, credentialRefused }, application);
    });
  }

  #profile(applicationId: string): Promise<ProviderProfile> {
    return remembered(this.#profiles, applicationId, async () =>
      resolveProvider(await this.#application(applicationId)),
    );
  }

  async #application(applicationId: string): Promise<Application> {
    const application = await this.#deps.store.applications.find(applicationId);
    if (application) return application;
    throw oauthError('oauth.misconfigured', 'the application of this grant is gone', { detail: { applicationId } });
  }

  #grant(grantId: string): Promise<Grant | undefined> {
    return remembered(this.#grants, grantId, () => this.#deps.store.grants.find(grantId));
  }
}

/** Closed on purpose: then a token that would still work is not given out either. */
function isSuspended(error: PosternError): boolean {
  return error.code === 'oauth.suspended';
}

/** False for a token that no mail server accepts; what older versions stored may be one. */
function isForMail(token: Secret, profile: ProviderProfile): boolean {
  try {
    checkAccessTokenAudience(token, profile);
    return true;
  } catch (error) {
    if (isError(error, 'oauth.wrong-audience')) return false;
    throw error;
  }
}

function shuttingDown(): PosternError {
  return oauthError('oauth.provider-unreachable', 'this process is shutting down');
}

function requireProtocol(mailbox: Mailbox, protocol: Protocol): void {
  if (mailbox.protocols.includes(protocol)) return;
  throw oauthError('oauth.not-granted', `${mailbox.address} is not set up for ${protocol}`, {
    detail: { protocol, protocols: mailbox.protocols },
    hint: `consent to it: postern mailbox reconsent ${shellWord(rowOf(mailbox))} --protocols ${[...mailbox.protocols, protocol].join(',')}`,
  });
}

/** Failures are not remembered. */
function remembered<T>(cache: Map<string, Promise<T>>, key: string, load: () => Promise<T>): Promise<T> {
  const known = cache.get(key);
  if (known) return known;
  const loading = load();
  cache.set(key, loading);
  loading.catch(() => {
    if (cache.get(key) === loading) cache.delete(key);
  });
  return loading;
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', aborted, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}

/** Not by `until` alone: a clock that was set back must not make a short pause a long one. */
const isBetween = (at: number, now: number, until: number): boolean => at <= now && now < until;
