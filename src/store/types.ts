/**
 * What the store keeps and how it is asked, the same on SQLite and PostgreSQL. Times are milliseconds since the epoch,
 * ids are `<prefix>_<26 base32 characters>`, addresses are lower case. Sealed fields are opaque here.
 */

import type { Protocol } from './protocols.ts';
import type { ApplicationSettings } from './application-settings.ts';
import type { FLOWS } from './flows.ts';
import type { MailboxSettings } from './mailbox-settings.ts';
import type { ApiKeyTable, SuppressionTable, TemplateTable, UploadTable, WebhookTable } from './types-api.ts';
import type { AppPasswordTable } from './types-access.ts';
import type { NoticeTable } from './types-notices.ts';
import type { OutboxTable } from './types-outbox.ts';

export type Flow = (typeof FLOWS)[number];

/** Our registration at a provider. */
export interface Application {
  readonly id: string;
  /** The operator's short name for it, unique: `work`, `contoso`. */
  readonly name: string;
  /** Preset id (`microsoft`, `google`, …) or `oidc`. */
  readonly provider: string;
  readonly clientId: string;
  /** Microsoft tenant (GUID, domain, `common`…); undefined elsewhere. */
  readonly tenant: string | undefined;
  /** Everything the preset does not know: issuer, mail endpoints, CA, fingerprints. */
  readonly settings: ApplicationSettings;
  /** Sealed client credential as JSON (secret; certificate and key; path of an assertion file), record `application/<id>/credential`. */
  readonly credential: Uint8Array | undefined;
  /** What may be known of each credential inside {@link credential} without opening it, the one to use first in front. */
  readonly credentials?: readonly CredentialFacts[];
  readonly createdAt: number;
}

/** One client credential, without its secret part. */
export interface CredentialFacts {
  readonly id: string;
  readonly type: 'secret' | 'certificate' | 'federated' | 'managed-identity' | 'service-account';
  readonly addedAt: number;
  /** A certificate's own end; a secret's as the operator gave it; undefined when unknown or there is none. */
  readonly expiresAt?: number;
  /** SHA-256 of a certificate, hex. */
  readonly fingerprint?: string;
}

/** Grant state, a closed union (design §1). */
export type GrantState =
  | { readonly type: 'pending'; readonly since: number }
  | { readonly type: 'active'; readonly since: number; readonly accessExpiresAt: number }
  | { readonly type: 'renewing'; readonly since: number; readonly accessExpiresAt: number }
  | {
      readonly type: 'needs-consent';
      readonly since: number;
      readonly code: string;
      readonly reason: string;
      /** The provider may take this back without the owner: not before this moment it is asked again. */
      readonly askAgainAt?: number;
    }
  | { readonly type: 'suspended'; readonly since: number; readonly reason: string }
  | { readonly type: 'revoked'; readonly since: number };

/** What one identity consented to. */
export interface Grant {
  readonly id: string;
  readonly applicationId: string;
  readonly flow: Flow;
  /** The signed-in identity's address; for app-only grants the client id. */
  readonly identity: string;
  /** Directory object id or `sub` of the identity, once known. */
  readonly subject: string | undefined;
  readonly scopes: readonly string[];
  readonly state: GrantState;
  /** Sealed JSON `{accessToken, refreshToken?, …}`, record `grant/<id>/tokens`; undefined while pending. */
  readonly tokens: Uint8Array | undefined;
  /** Grows with every write; a write names the generation it saw, so a late refresh never overwrites a changed grant. */
  readonly generation: number;
  readonly createdAt: number;
  /** When the duty of renewal looks at this grant next; undefined when nothing can be done without a person. */
  readonly renewAt?: number | undefined;
  /** How renewal has been going; undefined before the first tokens. */
  readonly renewal?: RenewalRecord | undefined;
}

/** What is known of a grant's tokens without opening them. */
export interface RenewalRecord {
  readonly consentedAt: number;
  /** When tokens were last obtained: providers forget a grant that nobody renews. */
  readonly renewedAt: number;
  /** The end of the grant as the provider announced it with the tokens, where it does. */
  readonly grantEndsAt?: number;
  /** True once a renewal did not move {@link grantEndsAt}: then it is an end that only a new consent moves. */
  readonly grantEndIsFixed?: boolean;
  /** Set while the last try failed. */
  readonly failing?: RenewalFailure;
  /** A diagnosis was refused: whoever needs a token next renews, however good the one at hand is, and the answer decides. */
  readonly doubted?: true;
}

export interface RenewalFailure {
  readonly since: number;
  readonly attempts: number;
  /** Our error's code, kind and words, and the provider's own code where it gave one. */
  readonly code: string;
  readonly kind: string;
  readonly reason: string;
  readonly hint: string;
  readonly providerCode?: string;
}

/** An address opened through a grant. `shared`: the grant's identity is a declared delegate of it. `app-only`: no identity. */
export interface Mailbox {
  readonly address: string;
  readonly grantId: string;
  readonly access: 'own' | 'shared' | 'app-only';
  readonly protocols: readonly Protocol[];
  readonly settings: MailboxSettings;
  /** Closed on purpose, this mailbox alone: its grant and the grant's other mailboxes go on. */
  readonly suspended?: { readonly since: number; readonly reason: string } | undefined;
  readonly createdAt: number;
  /** What came of the last check or test of each protocol; nothing of a consent that was replaced. */
  readonly tried?: Tries;
  /** The mailbox `*@domain` that opened this one; such a mailbox has no row of its own. Not stored. */
  readonly catchAll?: string;
}

export type Tries = Readonly<Partial<Record<Protocol, Tried>>>;

/** One try to sign in, and to look inside. Without a failure it worked. */
export interface Tried {
  readonly at: number;
  /** Our code, and the cause in plain words. */
  readonly failure?: { readonly code: string; readonly reason: string };
}

/** One link of the audit chain. `hash` = SHA-256 over the previous hash and the canonical JSON of everything else. */
export interface AuditRecord {
  /** 1, 2, 3… without gaps. */
  readonly seq: number;
  readonly at: number;
  /** Closed list, see `audit/events.ts`. */
  readonly type: string;
  readonly outcome: 'ok' | 'failed';
  readonly sessionId: string | undefined;
  readonly mailbox: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;
  readonly previous: string;
  readonly hash: string;
}

/** Number and hash of a record; number 0 and zeros stand for what is before the first. */
export interface ChainLink {
  readonly seq: number;
  readonly hash: string;
}

export interface AuditHead extends ChainLink {
  /** The newest record that was removed because of its age: the chain begins after it. */
  readonly anchor?: ChainLink;
  /**
   * The head was found without its key's signature, or with a wrong one, when this record was the newest; or records from this
   * one to `last` were found behind the end that was signed. Stays.
   */
  readonly broken?: { readonly seq: number; readonly reason: string; readonly last?: number };
  /** HMAC-SHA-256 over everything else, hex; missing where a version before this kind of head wrote last. */
  readonly mac?: string;
}

/** What signs the head, and whether it has to be signed already. */
export interface AuditKey {
  readonly key: Uint8Array;
  readonly signed: boolean;
}

export type NewAuditRecord = Omit<AuditRecord, 'seq' | 'previous' | 'hash'>;

export interface Lease {
  readonly name: string;
  readonly owner: string;
  /** Grows each time the lease changes hands; a holder passes it with its write. */
  readonly fence: number;
  readonly until: number;
}

/** Tables whose changes other processes want to hear of. */
export type Topic =
  | 'applications'
  | 'grants'
  | 'mailboxes'
  | 'app-passwords'
  | 'outbox'
  | 'api-keys'
  | 'webhooks'
  | 'suppressions';

export interface Store {
  readonly engine: 'sqlite' | 'postgres';
  readonly applications: ApplicationTable;
  readonly grants: GrantTable;
  readonly mailboxes: MailboxTable;
  readonly appPasswords: AppPasswordTable;
  readonly audit: AuditTable;
  readonly leases: LeaseTable;
  readonly space: SpaceTable;
  readonly settings: SettingTable;
  readonly outbox: OutboxTable;
  readonly notices: NoticeTable;
  readonly apiKeys: ApiKeyTable;
  readonly templates: TemplateTable;
  readonly suppressions: SuppressionTable;
  readonly webhooks: WebhookTable;
  readonly uploads: UploadTable;
  /** Calls back, within two seconds of the commit, when another or this process changed the topic. Never throws into the caller. */
  watch(topic: Topic, changed: () => void): { stop(): void };
  /** Answers when the database does. @throws store.unavailable */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Every method @throws store.unavailable (database away, disk full) and store.conflict where a unique name is taken. */
export interface ApplicationTable {
  insert(row: Application): Promise<void>;
  /** Settings are written by {@link replace} alone. */
  update(id: string, change: Partial<Omit<Application, 'id' | 'createdAt' | 'settings'>>): Promise<void>;
  /** Writes when the row is still as it was read; false when it was changed or removed meanwhile. For `editApplication`. */
  replace(before: Application, change: Partial<Omit<Application, 'id' | 'createdAt'>>): Promise<boolean>;
  find(id: string): Promise<Application | undefined>;
  byName(name: string): Promise<Application | undefined>;
  list(): Promise<readonly Application[]>;
  remove(id: string): Promise<boolean>;
}

export interface GrantTable {
  insert(row: Grant): Promise<void>;
  find(id: string): Promise<Grant | undefined>;
  list(): Promise<readonly Grant[]>;
  /**
   * Writes only when the grant still has `generation` and, if a lease is named, it is still held with that fence, all in
   * one transaction that is durable when the promise resolves. A lease that ran out but that nobody took is still held.
   */
  update(
    id: string,
    generation: number,
    change: Partial<
      Pick<
        Grant,
        'scopes' | 'state' | 'tokens' | 'subject' | 'identity' | 'flow' | 'applicationId' | 'renewAt' | 'renewal'
      >
    >,
    lease?: Pick<Lease, 'name' | 'owner' | 'fence'>,
  ): Promise<'written' | 'changed-meanwhile' | 'lease-lost'>;
  remove(id: string): Promise<boolean>;
  /**
   * Takes at most `limit` grants whose `renewAt` has come, the longest due first, and puts it off to `until`: nobody else is
   * given them before, and those of a process that dies come back by themselves. Watchers are not told.
   */
  claimDue(claim: {
    readonly applicationIds: readonly string[];
    readonly now: number;
    readonly until: number;
    readonly limit: number;
  }): Promise<readonly string[]>;
  /** The earliest `renewAt` of these applications' grants. */
  nextDue(applicationIds: readonly string[]): Promise<number | undefined>;
  /** Makes grants due at `at` that are to be renewed later than that; says how many. Watchers are not told. */
  makeDue(
    at: number,
    which:
      | { readonly type: 'failing'; readonly applicationId: string }
      /** Obtained by a clock that ran ahead, so nobody knows when they end. */
      | { readonly type: 'renewed-after'; readonly time: number }
      | { readonly type: 'these'; readonly ids: readonly string[] },
  ): Promise<number>;
  /** Every grant without its tokens, cheap enough to look at all of them each minute. */
  overview(): Promise<readonly Omit<Grant, 'tokens'>[]>;
}

export interface MailboxTable {
  insert(row: Mailbox): Promise<void>;
  /** Settings are written by {@link replaceSettings} alone. With another consent, what was tried with the one before is forgotten. */
  update(
    address: string,
    change: Partial<Pick<Mailbox, 'grantId' | 'protocols' | 'access' | 'suspended'>>,
  ): Promise<void>;
  /** Writes when the settings are still as they were read; false when they were changed meanwhile, or the mailbox removed. For `editMailbox`. */
  replaceSettings(address: string, before: Mailbox['settings'], after: Mailbox['settings']): Promise<boolean>;
  /** Puts these tries in the place of earlier ones of the same protocols. Nobody who watches hears of it; a mailbox that is gone is no error. */
  remember(address: string, tries: Tries): Promise<void>;
  /** The row of this very address. */
  find(address: string): Promise<Mailbox | undefined>;
  /** The mailbox that mail for an address is read and sent through: its own row, or that of `*@domain` under this address. */
  opened(address: string): Promise<Mailbox | undefined>;
  byGrant(grantId: string): Promise<readonly Mailbox[]>;
  list(): Promise<readonly Mailbox[]>;
  remove(address: string): Promise<boolean>;
}

export interface AuditTable {
  /**
   * Appends in order, numbering and chaining (`chain.ts`) inside one transaction across all processes.
   * @param key signs the head (`audit-head.ts`), for which nothing of it is kept; a head that is not signed by it, and records
   * behind it, are told in the chain for good, and one of a version without keys is signed from now on
   * @returns what of the chain does not hold, as far as appending shows
   */
  append(entries: readonly NewAuditRecord[], key?: AuditKey): Promise<AuditHead['broken']>;
  /**
   * The first transaction of `work` that changes something appends these as well; where they cannot be appended, it changes
   * nothing and `work` hears why. Nothing is appended where nothing changes.
   */
  along<T>(entries: readonly NewAuditRecord[], key: AuditKey | undefined, work: () => Promise<T>): Promise<T>;
  /** Appends a record and takes it back at once. @throws what appending would */
  tryOut(at: number, key?: AuditKey): Promise<void>;
  /**
   * Removes at most `limit` records from the beginning of the chain that are older than `before`, in their order up to the first
   * that is not, and keeps what is needed to verify the rest. Removes nothing where the chain does not hold.
   * @returns how many
   */
  forget(
    before: number,
    limit: number,
    key: AuditKey,
  ): Promise<{ readonly forgotten: number; readonly intact: boolean }>;
  /** Records with seq > `after`, ascending, at most `limit`. */
  read(after: number, limit: number): Promise<readonly AuditRecord[]>;
  /** The newest records first, filtered. */
  latest(filter: {
    readonly type?: string;
    /** Of any of these. */
    readonly types?: readonly string[];
    /** Older than this record. */
    readonly before?: number;
    readonly mailbox?: string;
    readonly sessionId?: string;
    /** Facts of the record. */
    readonly appPasswordId?: string;
    readonly remoteAddress?: string;
    /** At this moment or later, and before this one. */
    readonly since?: number;
    readonly until?: number;
    readonly limit: number;
  }): Promise<readonly AuditRecord[]>;
  /** Number and hash of the newest record as kept apart from the records, so that a cut end shows; undefined if that is gone. */
  head(): Promise<AuditHead | undefined>;
}

/** What the database takes on disk. PostgreSQL sees to it by itself. */
export interface Space {
  readonly octets: number;
  /** Octets of it that hold nothing. */
  readonly free: number;
  /** How they come back to the disk: `compacted` is what {@link SpaceTable.compact} has to do first. */
  readonly gives: 'while running' | 'compacted' | 'by itself';
}

export interface SpaceTable {
  state(): Promise<Space>;
  /**
   * What is damaged, in the database's own words; undefined when nothing is found. Of a file of up to `octets` every page is
   * read, of a larger one the beginning of every table. PostgreSQL looks after its files itself.
   */
  damage(octets: number): Promise<string | undefined>;
  /** Gives back about so many octets now; the file gets shorter at the next checkpoint. @returns how many, 0 where it cannot */
  release(octets: number): Promise<number>;
  /** Writes the file again without free space. Takes long, keeps writers away, and needs as much room again. @throws store.full */
  compact(): Promise<Space>;
}

export interface LeaseTable {
  /**
   * Takes a free or expired lease for `ms`, at most five minutes; undefined while anybody holds it, the same owner included. One
   * that stands further ahead than that is void: it was taken while the clock ran ahead.
   */
  acquire(name: string, owner: string, ms: number): Promise<Lease | undefined>;
  /** Prolongs a lease that is still ours: not released, and taken by nobody since, even if it ran out meanwhile. */
  renew(lease: Lease, ms: number): Promise<Lease | undefined>;
  release(lease: Lease): Promise<void>;
  /** Names of leases that were taken while the clock ran ahead. */
  ahead(): Promise<readonly string[]>;
}

/** Small named values: the vault's header, the installation's id. */
export interface SettingTable {
  get(name: string): Promise<string | undefined>;
  /** Sets only if absent, and gives what is there afterwards: first writer wins across processes. */
  setOnce(name: string, value: string): Promise<string>;
  set(name: string, value: string): Promise<void>;
}
