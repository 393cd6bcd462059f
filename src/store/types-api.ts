/** What the HTTP API keeps: keys, templates, suppressions, webhooks, uploads. Times are milliseconds since the epoch. */
import type { Ahead } from './types-outbox.ts';

/** What a key may do. `*` stands for all of it, later additions included. */
export const API_ACTIONS = [
  'messages:send',
  'messages:read',
  /** Reading the text of messages, which somebody who only watches the queue does not need. */
  'messages:content',
  /** Edit, cancel, retry, hold and release. Another message in the place of one takes `messages:send` as well. */
  'messages:write',
  'events:read',
  'mailboxes:read',
  'templates:read',
  'templates:write',
  'suppressions:read',
  'suppressions:write',
  'webhooks:read',
  'webhooks:write',
  'metrics:read',
] as const;
export type ApiAction = (typeof API_ACTIONS)[number];

export interface ApiKey {
  readonly id: string;
  readonly label: string;
  /** Keyed hash (HMAC-SHA-256, hex) of the key, which itself is nowhere. */
  readonly hash: string;
  readonly actions: readonly (ApiAction | '*')[];
  /** Addresses, or `['*']`. */
  readonly mailboxes: readonly string[];
  /** CIDR blocks; empty is anywhere. */
  readonly networks: readonly string[];
  /** Requests a minute to one process; undefined is no limit. */
  readonly rate: number | undefined;
  readonly createdAt: number;
  readonly expiresAt: number | undefined;
  readonly revokedAt: number | undefined;
  readonly lastUsedAt: number | undefined;
}

/** A right that named a mailbox which was removed. */
export interface Withdrawal {
  readonly id: string;
  readonly label: string;
  /** Nothing else was named, so the whole of it ended. */
  readonly revoked: boolean;
}

/** What is given out, known by its hash, and names mailboxes. */
export interface GivenTable<Row> {
  insert(row: Row): Promise<void>;
  find(id: string): Promise<Row | undefined>;
  byHash(hash: string): Promise<Row | undefined>;
  list(): Promise<readonly Row[]>;
  revoke(id: string, at: number): Promise<boolean>;
  /** Takes these names out of the mailboxes of every row; one that named nothing else is revoked. @returns those that were valid */
  withdraw(names: readonly string[], at: number): Promise<readonly Withdrawal[]>;
}

export interface ApiKeyTable extends GivenTable<ApiKey> {
  /** Notes when a key was last used; watchers are not told. */
  touch(id: string, at: number): Promise<void>;
}

/** One version of a template; versions are never changed. */
export interface Template {
  readonly name: string;
  /** Counted from 1. */
  readonly version: number;
  readonly subject: string;
  readonly html: string | undefined;
  readonly text: string | undefined;
  readonly createdAt: number;
}

export interface TemplateTable {
  /** Stores the next version; the first one makes the template. */
  add(row: Omit<Template, 'version'>): Promise<Template>;
  /** The newest version unless one is named. */
  find(name: string, version?: number): Promise<Template | undefined>;
  /** The newest version of each, by name, after `after`. */
  list(page: { readonly after?: string | undefined; readonly limit: number }): Promise<readonly Template[]>;
  /** Newest first. */
  versions(
    name: string,
    page: { readonly before?: number | undefined; readonly limit: number },
  ): Promise<readonly Template[]>;
  /** With all versions. */
  remove(name: string): Promise<boolean>;
}

export const SUPPRESSION_REASONS = ['bounce', 'complaint', 'unsubscribe', 'manual'] as const;

/** An address that gets no more mail, from one mailbox or from all. */
export interface Suppression {
  readonly address: string;
  /** `*` for every mailbox. */
  readonly mailbox: string;
  readonly reason: (typeof SUPPRESSION_REASONS)[number];
  /** What led to it, in words: the reply of a server, who asked. */
  readonly note: string | undefined;
  readonly createdAt: number;
}

export interface SuppressionTable {
  /** Adds or replaces. Says whether it is new. */
  put(row: Suppression): Promise<boolean>;
  /** Those of `addresses` that this mailbox must not write to. */
  match(mailbox: string, addresses: readonly string[]): Promise<readonly Suppression[]>;
  /** By address and mailbox, after the last one seen. */
  list(page: {
    readonly mailboxes?: readonly string[] | undefined;
    readonly address?: string | undefined;
    readonly after?: { readonly address: string; readonly mailbox: string } | undefined;
    readonly limit: number;
  }): Promise<readonly Suppression[]>;
  remove(address: string, mailbox: string): Promise<boolean>;
}

export interface Webhook {
  readonly id: string;
  /** The API key it belongs to: whose made it, or changed it last. Undefined: made by a version that did not keep it. */
  readonly apiKeyId: string | undefined;
  readonly url: string;
  /** Event types; empty is all. */
  readonly types: readonly string[];
  /** Addresses, or `['*']`. */
  readonly mailboxes: readonly string[];
  /** Sealed JSON `[{ secret, expiresAt? }]`, the newest first; record `webhook/<id>/secrets`. */
  readonly secrets: Uint8Array;
  readonly state:
    | { readonly type: 'enabled' }
    | { readonly type: 'disabled'; readonly since: number; readonly reason: string };
  /** Number of the last event that was looked at for it. */
  readonly cursor: number;
  readonly createdAt: number;
}

export interface WebhookAttempt {
  readonly at: number;
  readonly tookMs: number;
  /** Undefined when there was no answer. */
  readonly status?: number;
  /** Why it failed: our error's code and words, or the beginning of the answer. */
  readonly problem?: string;
}

export interface WebhookDelivery {
  readonly id: string;
  /** Grows; the order of one ordering key is kept. */
  readonly seq: number;
  readonly webhookId: string;
  /** The same for every try and replay of an event: what a receiver recognises doubles by. */
  readonly eventId: string;
  readonly type: string;
  /** Deliveries of the same key leave in order, one after the other. */
  readonly orderingKey: string;
  /** Whose event it is: who may see it, and whether it may still be sent, is judged by that. Undefined: of none, as a test. */
  readonly mailbox: string | undefined;
  /** JSON as it is signed and sent. */
  readonly payload: string;
  readonly state: 'pending' | 'delivered' | 'failed';
  readonly createdAt: number;
  readonly nextAt: number | undefined;
  readonly deadline: number;
  readonly finishedAt: number | undefined;
  readonly attempts: readonly WebhookAttempt[];
  readonly fence: number;
}
export type NewWebhookDelivery = Pick<
  WebhookDelivery,
  'id' | 'eventId' | 'type' | 'orderingKey' | 'mailbox' | 'payload' | 'createdAt' | 'deadline'
>;

export interface WebhookTable {
  /** False, and nothing is written, when there are so many already: of its API key, or in all. */
  insert(row: Webhook, most?: { readonly ofKey: number; readonly all: number }): Promise<boolean>;
  update(
    id: string,
    change: Partial<Pick<Webhook, 'url' | 'types' | 'mailboxes' | 'secrets' | 'state' | 'apiKeyId'>>,
  ): Promise<Webhook | undefined>;
  /** Switches off one that is enabled; false when it was not. */
  disable(id: string, since: number, reason: string): Promise<boolean>;
  find(id: string): Promise<Webhook | undefined>;
  list(): Promise<readonly Webhook[]>;
  /** With its deliveries. */
  remove(id: string): Promise<boolean>;
  /** Puts deliveries of events up to `cursor` in line, unless another process did so since `from` was read. */
  enqueue(
    id: string,
    cursor: { readonly from: number; readonly to: number },
    deliveries: readonly NewWebhookDelivery[],
  ): Promise<boolean>;
  /** Puts one in line outside of the stream of events: a test. */
  add(id: string, delivery: NewWebhookDelivery): Promise<void>;
  /**
   * Takes due deliveries of one webhook until `until`, at most one of each ordering key and only where nothing earlier of
   * that key is pending.
   */
  claim(claim: {
    readonly webhookId: string;
    readonly now: number;
    readonly until: number;
    readonly limit: number;
  }): Promise<readonly WebhookDelivery[]>;
  /** Deliveries that a clock that ran ahead made wait are due now; how many. */
  recall(ahead: Omit<Ahead, 'keepMs'>): Promise<number>;
  /** How many {@link recall} would find. */
  ahead(ahead: Omit<Ahead, 'keepMs'>): Promise<number>;
  /** Ids of enabled webhooks with something due, and when the next is due. */
  due(now: number): Promise<{ readonly webhookIds: readonly string[]; readonly nextAt: number | undefined }>;
  /** The outcome of a claimed delivery; ignored when it was taken over meanwhile. */
  settle(
    delivery: Pick<WebhookDelivery, 'id' | 'fence'>,
    attempt: WebhookAttempt,
    outcome:
      | { readonly type: 'delivered' }
      | { readonly type: 'again'; readonly at: number }
      | { readonly type: 'failed' },
  ): Promise<boolean>;
  findDelivery(webhookId: string, id: string): Promise<WebhookDelivery | undefined>;
  /** Newest first; only those of mailboxes that these names open (all when undefined), and those of none. */
  deliveries(
    webhookId: string,
    page: {
      readonly mailboxes?: readonly string[] | undefined;
      readonly state?: WebhookDelivery['state'] | undefined;
      readonly before?: number | undefined;
      readonly limit: number;
    },
  ): Promise<readonly WebhookDelivery[]>;
  /**
   * Puts finished deliveries in line again, with a new deadline: one, or all in a state made since a moment whose mailbox each of
   * these lists opens. How many.
   */
  replay(
    webhookId: string,
    which:
      | { readonly id: string }
      | {
          readonly state: 'failed' | 'delivered';
          readonly since: number;
          readonly mailboxes?: readonly (readonly string[] | undefined)[];
        },
    times: { readonly now: number; readonly deadline: number },
  ): Promise<number>;
  /** Forgets deliveries that ended before a moment. */
  prune(before: number): Promise<void>;
}

/** A file sent ahead of the message that will carry it; its sealed octets are chunks of the outbox under the same id. */
export interface Upload {
  readonly id: string;
  /** Id of the API key: nobody else can use it. */
  readonly principal: string;
  readonly filename: string;
  readonly contentType: string;
  /** Octets. */
  readonly size: number;
  /** The sealed data key of its octets. */
  readonly key: Uint8Array;
  readonly chunks: number;
  readonly createdAt: number;
  readonly expiresAt: number;
}

export interface UploadTable {
  /**
   * Makes the chunks written under this id belong to something; false: with it the principal would have more than `most` of what has
   * not ended when it was begun, and nothing was done.
   */
  insert(row: Upload, most?: { readonly count: number; readonly octets: number }): Promise<boolean>;
  find(id: string): Promise<Upload | undefined>;
  /** How many a principal has that end after `now`, and of how many octets. */
  held(principal: string, now: number): Promise<{ readonly count: number; readonly octets: number }>;
  /** With its chunks. */
  remove(id: string): Promise<boolean>;
  /** Removes those that expired before a moment. */
  prune(now: number): Promise<void>;
}
