/** Checking app passwords at sign-in, from memory when warm, and telling when one, or its mailbox, stops being open. */
import { foldCase } from '../base/case.ts';
import type { KeyObject } from 'node:crypto';
import type { Clock, Timer } from '../base/clock.ts';
import { type Log, nullLog } from '../base/log.ts';
import { asError } from '../base/error.ts';
import type { Mailbox, Store } from '../store/types.ts';
import type { AppPassword } from '../store/types-access.ts';
import { catchAllOf, isCatchAll, openedBy } from '../store/table/mailboxes.ts';
import type { Vault } from '../vault/types.ts';
import { hashOf } from './app-password.ts';
import { accessError } from './errors.ts';
import { hashKey, touching } from './given.ts';
import { clientOf } from '../base/client-of.ts';
import { isWithin } from './network.ts';
import { SlowDown } from './slow-down.ts';
import type { Refusal, SignIn, SignInAttempt, SignInResult } from './types.ts';
import { validityOf } from './validity.ts';

export interface SignInDeps {
  readonly store: Store;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly log?: Log;
}

/** @throws vault.*, store.unavailable */
export async function openSignIn(deps: SignInDeps): Promise<SignIn & { close(): void }> {
  const checker = new SignInCheck(deps, await hashKey(deps.vault, 'app-password'));
  try {
    await checker.load();
  } catch (error) {
    checker.close();
    throw error;
  }
  return checker;
}

/** Expiry is looked at this often; revocation arrives by itself. */
const LOOK_EVERY_MS = 1000;
/** A revoked app password is told of again for this long; a sign-in has its session well before. */
const LATELY_MS = 2 * LOOK_EVERY_MS;
/** A failed load is tried again after the first of these, doubling up to the second. */
const RETRY_MS = { first: 250, most: 5000 };
/** A suspension says itself that mailboxes changed. Should that have been lost, it is seen this long after another change. */
const LOOK_AT_GRANTS_EVERY_MS = 60_000;
/** Memory that could not be refreshed for this long is no longer trusted: every sign-in then asks the store. */
const TRUST_STALE_MS = 30_000;

class SignInCheck implements SignIn {
  readonly #deps: SignInDeps;
  readonly #log: Log;
  readonly #key: KeyObject;
  readonly #slowDown: SlowDown;
  readonly #watches: readonly { stop(): void }[];
  readonly #revoked = new Set<(ids: readonly string[]) => void>();
  readonly #closedMailboxes = new Set<(addresses: readonly string[]) => void>();
  #passwords = new Map<string, AppPassword>();
  #mailboxes = new Map<string, Mailbox>();
  /**
   * App passwords with the mailboxes they opened before memory knew of them. What was made and revoked between two looks at the
   * store was never in memory, and would be missed: a look that begins after the sign-in judges it.
   */
  readonly #strangers = new Map<string, { readonly id: string; readonly mailbox: Mailbox }>();
  /** Revoked a moment ago, and when: a sign-in that was being answered then has its session only now. */
  readonly #lately = new Map<string, number>();
  /** Reasons by grant. */
  #suspended = new Map<string, string>();
  /** Grants change with every renewal, so that is no reason to look at once. */
  #grantsChanged = false;
  /** Whether there was no app password and no mailbox at all. Then no password can be called wrong. */
  #empty = false;
  #loadedAt = 0;
  readonly #touch: (id: string) => void;
  /** Loads one after another: a change during a load makes another one. */
  #loading: Promise<void> | undefined;
  #stale = false;
  #timer: Timer;
  #retry: Timer | undefined;
  /** When loading began to fail; undefined while memory is up to date. */
  #failingSince: number | undefined;
  #closed = false;

  constructor(deps: SignInDeps, key: KeyObject) {
    this.#deps = deps;
    this.#log = deps.log ?? nullLog;
    this.#key = key;
    this.#slowDown = new SlowDown(deps.clock, deps.store.outbox, 'programs');
    this.#touch = touching(deps.clock, this.#log, 'appPasswordId', (id, at) =>
      deps.store.appPasswords.touch([{ id, at }]),
    );
    const changed = (): void => this.#reload(RETRY_MS.first);
    this.#watches = [
      deps.store.watch('app-passwords', changed),
      deps.store.watch('mailboxes', changed),
      deps.store.watch('grants', () => (this.#grantsChanged = true)),
    ];
    this.#timer = deps.clock.after(LOOK_EVERY_MS, this.#look);
  }

  async verify({ user, password, protocol, remoteAddress }: SignInAttempt): Promise<SignInResult> {
    const address = foldCase(user.trim());
    const client = clientOf(remoteAddress);
    // A keyed hash looked up by equality leaks nothing an attacker could steer: the key is unknown to them.
    const hash = hashOf(this.#key, password);
    const trusted = this.#failingSince === undefined || this.#deps.clock.now() - this.#failingSince < TRUST_STALE_MS;
    const known = trusted ? this.#passwords.get(hash) : undefined;
    // One made a moment ago in another process may not have been heard of yet.
    const row = known ?? (await this.#deps.store.appPasswords.byHash(hash));
    // A right one, whatever it opens: now it must not be seen anywhere. What a stranger tries stays unknown to the scrubber.
    if (row !== undefined) password.prove();
    const open = trusted ? this.known(address) : undefined;
    const mailbox = open ?? (await this.#deps.store.mailboxes.opened(address));
    const refusal =
      row === undefined ? 'unknown-password' : this.#refusalOf(row, mailbox, address, protocol, remoteAddress);
    if (row === undefined && mailbox === undefined && trusted && this.#empty) {
      throw accessError('access.empty', 'this gateway has no mailbox and no app password, so nobody can sign in yet');
    }
    // Nobody is guessing here: the password is right.
    const whose = row === undefined ? {} : { appPassword: row };
    if (refusal === 'catch-all') return { type: 'refused', reason: refusal, ...whose };
    if (refusal !== undefined || row === undefined || mailbox === undefined) {
      const wait = await this.#slowDown.failed(client, address);
      return wait
        ? { type: 'slow-down', ...wait }
        : { type: 'refused', reason: refusal ?? 'no-such-mailbox', ...whose };
    }
    this.#slowDown.succeeded(client);
    this.#touch(row.id);
    if (known === undefined || open === undefined) this.#judgeLater(row.id, mailbox);
    return { type: 'accepted', mailbox, appPassword: row };
  }

  mailbox(address: string): Promise<Mailbox | undefined> {
    return this.#deps.store.mailboxes.opened(address);
  }

  known(address: string): Mailbox | undefined {
    const own = this.#mailboxes.get(address);
    const pattern = own ? undefined : catchAllOf(address);
    const catchAll = pattern === undefined ? undefined : this.#mailboxes.get(pattern);
    return own ?? (catchAll && openedBy(catchAll, address));
  }

  onRevoked(callback: (appPasswordIds: readonly string[]) => void): { stop(): void } {
    this.#revoked.add(callback);
    return { stop: () => void this.#revoked.delete(callback) };
  }

  onClosed(callback: (addresses: readonly string[]) => void): { stop(): void } {
    this.#closedMailboxes.add(callback);
    return { stop: () => void this.#closedMailboxes.delete(callback) };
  }

  suspended({ grantId, suspended }: Mailbox): string | undefined {
    return suspended?.reason ?? this.#suspended.get(grantId);
  }

  close(): void {
    this.#closed = true;
    this.#timer.cancel();
    this.#retry?.cancel();
    this.#slowDown.close();
    for (const watch of this.#watches) watch.stop();
  }

  /** Reads everything again and tells of app passwords that are gone. @throws store.unavailable */
  async load(): Promise<void> {
    this.#stale = true;
    this.#loading ??= this.#loadAll().finally(() => (this.#loading = undefined));
    return this.#loading;
  }

  /** Loads until it works: a revocation must not be lost because the store was busy when it was heard of. */
  #reload(waitMs: number): void {
    this.load().catch((error: unknown) => {
      this.#log.error({ error: asError(error), retryInMs: waitMs }, 'app passwords could not be read; trying again');
      this.#failingSince ??= this.#deps.clock.now();
      this.#retry?.cancel();
      if (this.#closed) return;
      this.#retry = this.#deps.clock.after(waitMs, () => this.#reload(Math.min(waitMs * 2, RETRY_MS.most)));
    });
  }

  async #loadAll(): Promise<void> {
    while (this.#stale && !this.#closed) {
      this.#stale = false;
      this.#grantsChanged = false;
      this.#loadedAt = this.#deps.clock.now();
      const strangers = [...this.#strangers];
      const [passwords, mailboxes, grants] = await Promise.all([
        this.#deps.store.appPasswords.list(),
        this.#deps.store.mailboxes.list(),
        this.#deps.store.grants.overview(),
      ]);
      this.#empty = passwords.length === 0 && mailboxes.length === 0;
      const valid = passwords.filter((row) => this.#isValid(row));
      const ids = new Set(valid.map(({ id }) => id));
      const before = [...[...this.#passwords.values()].map(({ id }) => id), ...strangers.map(([, { id }]) => id)];
      const gone = [...new Set(before)].filter((id) => !ids.has(id));
      this.#passwords = new Map(valid.map((row) => [row.hash, row]));
      const known = [...this.#mailboxes.values(), ...strangers.map(([, { mailbox }]) => mailbox)].map(
        ({ address, catchAll, createdAt }) => ({
          address: catchAll ?? address,
          createdAt,
        }),
      );
      this.#mailboxes = new Map(mailboxes.map((row) => [row.address, row]));
      this.#suspended = new Map(
        grants.flatMap(({ id, state }) => (state.type === 'suspended' ? [[id, state.reason] as const] : [])),
      );
      this.#failingSince = undefined;
      this.#retry?.cancel();
      for (const [key] of strangers) this.#strangers.delete(key);
      for (const id of gone) this.#lately.set(id, this.#loadedAt);
      tell(this.#revoked, gone);
      tell(
        this.#closedMailboxes,
        // Those closed before as well: one may have been open for a moment between two looks, and let somebody in.
        // One whose own mailbox is gone is closed too, whatever else would open its address now.
        // So is one that was removed and added again between two looks: that is another consent, and has other passwords.
        [...new Set(known.filter((row) => !this.#isStillOpen(row)).map(({ address }) => address))],
      );
    }
  }

  /** Has the store asked about somebody who has just been let in, once their session is there. */
  #judgeLater(id: string, mailbox: Mailbox): void {
    this.#strangers.set(`${id} ${mailbox.address} ${mailbox.createdAt}`, { id, mailbox });
    setImmediate(() => {
      if (!this.#closed) this.#reload(RETRY_MS.first);
    });
  }

  #refusalOf(
    row: AppPassword,
    mailbox: Mailbox | undefined,
    address: string,
    protocol: SignInAttempt['protocol'],
    remoteAddress: string,
  ): Refusal | undefined {
    const validity = validityOf(row, this.#deps.clock.now());
    if (validity !== 'valid') return validity;
    if (![address, catchAllOf(address), '*'].some((name) => name !== undefined && row.mailboxes.includes(name)))
      return 'wrong-mailbox';
    if (!row.protocols.includes(protocol)) return 'wrong-protocol';
    if (!isWithin(remoteAddress, row.networks)) return 'wrong-network';
    if (mailbox === undefined) return 'no-such-mailbox';
    return isCatchAll(mailbox.address) ? 'catch-all' : undefined;
  }

  #isValid(row: AppPassword): boolean {
    return validityOf(row, this.#deps.clock.now()) === 'valid';
  }

  /** Whether what somebody was let into is still the same one, and open. */
  #isStillOpen({ address, createdAt }: Pick<Mailbox, 'address' | 'createdAt'>): boolean {
    const now = this.#mailboxes.get(address);
    return now?.createdAt === createdAt && this.suspended(now) === undefined;
  }

  readonly #look = (): void => {
    if (this.#grantsChanged && this.#deps.clock.now() - this.#loadedAt >= LOOK_AT_GRANTS_EVERY_MS)
      this.#reload(RETRY_MS.first);
    const expired = [...this.#passwords.values()].filter((row) => !this.#isValid(row));
    for (const row of expired) this.#passwords.delete(row.hash);
    tell(this.#revoked, [...expired.map(({ id }) => id), ...this.#lately.keys()]);
    for (const [id, at] of this.#lately) if (this.#deps.clock.now() - at > LATELY_MS) this.#lately.delete(id);
    if (!this.#closed) this.#timer = this.#deps.clock.after(LOOK_EVERY_MS, this.#look);
  };
}

function tell(callbacks: Iterable<(what: readonly string[]) => void>, what: readonly string[]): void {
  if (what.length > 0) for (const callback of callbacks) callback(what);
}
