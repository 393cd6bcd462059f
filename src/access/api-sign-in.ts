/** Checking API keys, from memory when warm, with the rate each key is allowed. */
import { foldCase } from '../base/case.ts';
import { catchAllOf } from '../store/table/mailboxes.ts';
import { hash, type KeyObject } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import { type Log, nullLog } from '../base/log.ts';
import type { Secret } from '../base/secret.ts';
import { inLedger } from '../store/ledger.ts';
import { type Remembered, remember } from '../store/remembered.ts';
import type { ApiKey } from '../store/types-api.ts';
import type { Store } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';
import { apiKeyHash } from './api-key.ts';
import { hashKey, touching } from './given.ts';
import { clientOf } from '../base/client-of.ts';
import { isWithin } from './network.ts';
import { SlowDown } from './slow-down.ts';
import { validityOf } from './validity.ts';

export type ApiSignInResult =
  | { readonly type: 'accepted'; readonly key: ApiKey }
  | { readonly type: 'refused'; readonly reason: 'unknown' | 'expired' | 'revoked' | 'wrong-network' }
  /** Too many wrong keys from this address. */
  | { readonly type: 'slow-down'; readonly waitMs: number }
  /** The key is right, and used more often than it allows. */
  | { readonly type: 'over-rate'; readonly key: ApiKey; readonly waitMs: number };

export interface ApiSignIn {
  /** @throws store.unavailable */
  verify(secret: Secret, remoteAddress: string): Promise<ApiSignInResult>;
  /**
   * A key that was verified, as it is now: mailboxes may have been taken from it since. Undefined once it was revoked or has ended.
   * @throws store.unavailable
   */
  current(id: string): Promise<ApiKey | undefined>;
  /** Calls back once a key was revoked or has ended, for requests that go on for long. */
  onEnd(key: ApiKey, ended: () => void): { stop(): void };
  close(): void;
}

/** A key is asked for again after this, should word of a revocation not have come. */
const TRUST_MS = 5000;
/** No request lasts as long; a timer could not be set much further ahead either. */
const LONGEST_MS = 24 * 3_600_000;
const MINUTE_MS = 60_000;
/** A key with a generous rate writes this often a minute at most, however many requests it makes. */
const TAKES_A_MINUTE = 600;
/** What was taken and not used by then is lost. */
const IN_HAND_MS = 5000;

/** @throws vault.* */
export async function openApiSignIn(deps: {
  readonly store: Store;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly log?: Log;
}): Promise<ApiSignIn> {
  return new ApiSignInCheck(deps.store, deps.clock, deps.log ?? nullLog, await hashKey(deps.vault, 'api-key'));
}

class ApiSignInCheck implements ApiSignIn {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #slowDown: SlowDown;
  readonly #rows: Remembered<ApiKey>;
  readonly #bySecret: Remembered<ApiKey, Secret>;
  readonly #touch: (id: string) => void;
  /** By key: requests taken from the installation's bucket and not used yet, or since when and how long it is empty. */
  readonly #hands = new Map<string, { left: number; readonly until: number }>();

  constructor(store: Store, clock: Clock, log: Log, key: KeyObject) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    this.#slowDown = new SlowDown(clock, store.outbox, 'api-keys');
    this.#rows = remember(store, clock, 'api-keys', (id) => store.apiKeys.find(id));
    this.#bySecret = remember(
      store,
      clock,
      'api-keys',
      // A keyed hash looked up by equality leaks nothing an attacker could steer: the key is unknown to them.
      (secret: Secret) => store.apiKeys.byHash(apiKeyHash(key, secret)),
      // A tenth of what the keyed hash costs, and of 160 random bits it tells as little; it never leaves this process.
      { nameOf: (secret) => hash('sha256', secret.reveal(), 'base64'), trustMs: TRUST_MS },
    );
    this.#touch = touching(clock, log, 'apiKeyId', (id, at) => store.apiKeys.touch(id, at));
  }

  async verify(secret: Secret, remoteAddress: string): Promise<ApiSignInResult> {
    const client = clientOf(remoteAddress);
    const key = await this.#bySecret.find(secret);
    if (key !== undefined) secret.prove();
    const reason = key === undefined ? 'unknown' : this.#refusalOf(key, remoteAddress);
    if (key === undefined || reason !== undefined) {
      // The client's failures alone count: there is no account that could be locked.
      const wait = await this.#slowDown.failed(client, client);
      return wait ? { type: 'slow-down', waitMs: wait.waitMs } : { type: 'refused', reason: reason ?? 'unknown' };
    }
    this.#slowDown.succeeded(client);
    this.#touch(key.id);
    const waitMs = await this.#takeFrom(key);
    return waitMs === 0 ? { type: 'accepted', key } : { type: 'over-rate', key, waitMs };
  }

  async current(id: string): Promise<ApiKey | undefined> {
    const key = await this.#rows.find(id);
    return key !== undefined && validityOf(key, this.#clock.now()) === 'valid' ? key : undefined;
  }

  onEnd({ id, expiresAt }: ApiKey, ended: () => void): { stop(): void } {
    const look = (): void => {
      this.current(id).then(
        (key) => {
          if (key === undefined) ended();
        },
        // Whoever is about to act on it asks again.
        (error: unknown) => this.#log.debug({ error: asError(error), apiKeyId: id }, 'a key could not be looked at'),
      );
    };
    const watch = this.#store.watch('api-keys', look);
    const left = expiresAt === undefined ? Infinity : expiresAt - this.#clock.now();
    const timer = left < LONGEST_MS ? this.#clock.after(Math.max(left, 0), look) : undefined;
    return {
      stop() {
        watch.stop();
        timer?.cancel();
      },
    };
  }

  close(): void {
    this.#rows.stop();
    this.#bySecret.stop();
    this.#slowDown.close();
  }

  #refusalOf(key: ApiKey, remoteAddress: string): 'revoked' | 'expired' | 'wrong-network' | undefined {
    const validity = validityOf(key, this.#clock.now());
    if (validity !== 'valid') return validity;
    return isWithin(remoteAddress, key.networks) ? undefined : 'wrong-network';
  }

  /**
   * A bucket that holds a minute's requests, one for all processes of the installation; of a generous rate several are taken at a
   * time. Gives how long to wait for the next one; 0 when it was taken. @throws store.unavailable
   */
  async #takeFrom({ id, rate }: ApiKey): Promise<number> {
    if (rate === undefined) return 0;
    const hand = this.#hands.get(id);
    const now = this.#clock.now();
    if (hand !== undefined && now < hand.until) {
      if (hand.left === 0) return hand.until - now;
      hand.left -= 1;
      if (hand.left === 0) this.#hands.delete(id);
      return 0;
    }
    const several = Math.max(1, Math.floor(rate / TAKES_A_MINUTE));
    const taken = await inLedger(this.#store.outbox, `rate/${id}`, (entry) => {
      const before =
        entry === undefined ? { left: rate, at: now } : (JSON.parse(entry) as { left: number; at: number });
      const grown = (Math.max(0, now - before.at) * rate) / MINUTE_MS;
      const left = Math.min(rate, before.left + grown);
      const result = Math.min(several, Math.floor(left));
      const bucket = { left: left - result, at: Math.max(now, before.at) };
      // An empty bucket fills by itself: nothing is written for a request that is refused.
      return { entry: (result === 0 && entry) || JSON.stringify(bucket), result: { result, left } };
    });
    const waitMs = taken.result > 0 ? 0 : Math.ceil(((1 - taken.left) * MINUTE_MS) / rate);
    this.#hands.set(id, { left: Math.max(0, taken.result - 1), until: now + (waitMs || IN_HAND_MS) });
    // In hand, but used up: the bucket is asked again at once.
    if (taken.result === 1) this.#hands.delete(id);
    return waitMs;
  }
}

/** Whether a key allows an action. */
export function allows(key: ApiKey, action: ApiKey['actions'][number]): boolean {
  return key.actions.includes('*') || key.actions.includes(action);
}

/** Whether a key opens a mailbox. */
export function opens(key: Pick<ApiKey, 'mailboxes'>, mailbox: string): boolean {
  const address = foldCase(mailbox);
  return ['*', address, catchAllOf(address)].some((name) => name !== undefined && key.mailboxes.includes(name));
}

/**
 * Whether a key opens every one of these, `*` being all there are. What names nothing is opened only by what opens everything: it
 * may have named something once.
 */
export function opensAll(key: Pick<ApiKey, 'mailboxes'>, { mailboxes }: Pick<ApiKey, 'mailboxes'>): boolean {
  if (mailboxes.length === 0 || mailboxes.includes('*')) return key.mailboxes.includes('*');
  return mailboxes.every((one) => opens(key, one));
}
