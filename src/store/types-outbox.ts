/** Accepted outgoing mail: messages, their sealed octets, and what happened to them. Times are milliseconds since the epoch. */

/** Where a message is on its way, a closed union. */
export type MessageState =
  /** Waits for its turn, at the earliest at `nextAt`: fresh, put off, or scheduled. */
  | { readonly type: 'queued'; readonly nextAt: number }
  /** An attempt is under way in `owner`, which has it until `until`. After that the outcome of the attempt is unknown. */
  /** `ways`: those the attempt may take, as its owner wrote them down. */
  | { readonly type: 'sending'; readonly owner: string; readonly until: number; readonly ways?: string }
  | { readonly type: 'held'; readonly since: number; readonly reason: string }
  | { readonly type: 'sent'; readonly at: number }
  /** Nobody got it, or only some did; each recipient says more. */
  | { readonly type: 'failed'; readonly at: number; readonly code: string; readonly reason: string }
  | { readonly type: 'cancelled'; readonly at: number };

export type MessageSource = 'smtp' | 'http' | 'sendmail' | 'device' | 'report';
export type MessageLane = 'normal' | 'urgent';

export interface Recipient {
  readonly address: string;
  readonly state: 'pending' | 'delivered' | 'refused';
  /** RFC 3461 §4.1: `NEVER`, or some of `SUCCESS`, `FAILURE`, `DELAY`; undefined where the sender did not say. */
  readonly notify?: readonly string[];
  /** RFC 3461 §4.2, as given. */
  readonly orcpt?: string;
  /** The server's last words about this recipient. */
  readonly reply?: string;
  /** The attempt under way in which the server would take the message for this recipient, where it would not for all. */
  readonly attempt?: number;
  /** An attempt for this recipient ended without a known end, for this reason: it may have arrived, whatever came after. */
  readonly mayHaveArrived?: string;
}

export interface OutboxMessage {
  /** Of one that was taken over: when the claim of the process that died had run out. Not stored. */
  readonly claimEndedAt?: number;
  readonly id: string;
  /** Grows with every message of this database: the order of acceptance. */
  readonly seq: number;
  /** The mailbox whose grant sends it. */
  readonly mailbox: string;
  readonly source: MessageSource;
  /** Who handed it over: id of the app password, API key or device rule. */
  readonly principal: string;
  /** Network address of the program or device, where there was one. */
  readonly remoteAddress?: string;
  /** Empty for reports (RFC 5321 §4.5.5). */
  readonly envelopeFrom: string;
  readonly recipients: readonly Recipient[];
  /** Of its header, with angle brackets. */
  readonly messageId: string;
  /** Octets. */
  readonly size: number;
  readonly lane: MessageLane;
  /** RFC 3461 §4.3, §4.4. */
  readonly dsn: { readonly ret?: 'FULL' | 'HDRS'; readonly envid?: string };
  /** RFC 6531: addresses or header are UTF-8. */
  readonly smtputf8: boolean;
  /** RFC 6152: octets above 127. */
  readonly eightBit: boolean;
  /** After this moment it is given up and reported. */
  readonly deadline: number;
  /** Attempts that were begun. */
  readonly attempts: number;
  readonly state: MessageState;
  /** Grows with every claim and change of state; a change names the one it saw. */
  readonly fence: number;
  /** Names its octets; editing them gives new ones. */
  readonly bodyId: string;
  /** The sealed data key of its octets. */
  readonly key: Uint8Array;
  readonly chunks: number;
  readonly createdAt: number;
  readonly finishedAt: number | undefined;
  /** The moment that its sender asked for last, where one was: no clock of ours has made it. */
  readonly notBefore?: number;
}

export const MESSAGE_EVENTS = [
  'accepted',
  'edited',
  'attempted',
  'deferred',
  'sent',
  'refused',
  'failed',
  'cancelled',
  'held',
  'released',
  'bounced',
  'complained',
] as const;
export type MessageEventType = (typeof MESSAGE_EVENTS)[number];

export interface MessageEvent {
  /** Grows in the order of commits; gaps are possible. */
  readonly seq: number;
  readonly messageId: string;
  readonly mailbox: string;
  readonly at: number;
  readonly type: MessageEventType;
  /** Plain JSON without secrets: route, reply, recipients, reason. */
  readonly data: Readonly<Record<string, unknown>>;
}
export type NewMessageEvent = Pick<MessageEvent, 'at' | 'type' | 'data'>;

/** `key` of a principal: the same key and fingerprint give the same message. */
export interface IdempotencyClaim {
  readonly scope: string;
  readonly key: string;
  /** SHA-256 of envelope and octets, hex. */
  readonly fingerprint: string;
  /** The time it is used at, and for how many milliseconds it counts. PostgreSQL goes by its own clock instead. */
  readonly at: number;
  readonly keepMs: number;
}

export interface NewMessage {
  readonly message: Omit<OutboxMessage, 'seq' | 'attempts' | 'fence' | 'finishedAt'>;
  /** The last chunk, or all of them; earlier ones are there already. Counted from 0. */
  readonly chunks: readonly { readonly number: number; readonly data: Uint8Array }[];
  readonly events: readonly NewMessageEvent[];
  readonly idempotency?: IdempotencyClaim;
}

export type Insertion =
  | { readonly type: 'inserted'; readonly seq: number }
  /** The idempotency key was used before, for the same or for another message. */
  | { readonly type: 'known'; readonly messageId: string; readonly fingerprint: string };

export interface MessageFilter {
  readonly mailbox?: string | undefined;
  readonly mailboxes?: readonly string[] | undefined;
  readonly states?: readonly MessageState['type'][] | undefined;
  /** Of the envelope; empty: reports. */
  readonly envelopeFrom?: string;
  readonly messageId?: string | undefined;
  readonly recipient?: string | undefined;
  /** Id of an app password or API key, or `device` and the rule’s name. */
  readonly principal?: string | undefined;
  readonly remoteAddress?: string | undefined;
  /** Accepted at this moment or later, and before this one. */
  readonly since?: number | undefined;
  readonly until?: number | undefined;
}

export interface MessageChange {
  readonly state?: MessageState;
  readonly recipients?: readonly Recipient[];
  readonly lane?: MessageLane;
  readonly notBefore?: number;
  readonly deadline?: number;
  readonly attempts?: number;
  readonly envelopeFrom?: string;
  readonly messageId?: string;
  /** Who has put other octets in its place. */
  readonly writer?: Pick<OutboxMessage, 'principal' | 'source' | 'remoteAddress'>;
  /** Other octets, written by {@link OutboxTable.addChunks} before; the old ones are removed. */
  readonly body?: Pick<OutboxMessage, 'bodyId' | 'key' | 'chunks' | 'size' | 'eightBit'>;
}

/** What tells that a clock ran ahead. */
export interface Ahead {
  readonly now: number;
  /** Nothing is put off by itself until later than this. */
  readonly latest: number;
  /** Clocks of several machines differ by less: nothing has happened later than this. */
  readonly tolerated: number;
  /** A message is tried for so long at least. */
  readonly keepMs: number;
}

export interface OutboxStats {
  readonly queued: number;
  readonly sending: number;
  readonly held: number;
  /** Acceptance of the oldest message that is due and not sent; undefined where none waits. */
  readonly oldestDueAt: number | undefined;
}

/** Every method @throws store.unavailable (database away, disk full). */
export interface DueMailbox {
  readonly mailbox: string;
  /** Id of the application it consented to; empty when the mailbox is gone. */
  readonly tenant: string;
}

export interface OutboxTable {
  /**
   * Writes messages with their last chunks and first events in one durable transaction, in order. A message whose
   * idempotency key is known is left out.
   */
  insert(messages: readonly NewMessage[]): Promise<readonly Insertion[]>;
  /** Writes chunks of octets that are still arriving, at a moment. */
  addChunks(
    bodyId: string,
    at: number,
    chunks: readonly { readonly number: number; readonly data: Uint8Array }[],
  ): Promise<void>;
  /** One sealed chunk; undefined past the end. */
  chunk(bodyId: string, number: number): Promise<Uint8Array | undefined>;
  /** Removes chunks without a message that were begun before a moment; how many messages they belonged to. */
  dropOrphans(before: number): Promise<number>;
  find(id: string): Promise<OutboxMessage | undefined>;
  /** Newest first, at most `limit`, older than `before` (a seq). */
  list(
    filter: MessageFilter,
    page: { readonly before?: number; readonly limit: number },
  ): Promise<readonly OutboxMessage[]>;
  /** Mailboxes that have queued messages due at `now`. */
  dueMailboxes(now: number): Promise<readonly DueMailbox[]>;
  /** When the next queued message is due, of all mailboxes. */
  nextDue(): Promise<number | undefined>;
  /** Takes up to `limit` due messages of a mailbox, urgent ones first, then in order; counts the attempt. */
  claim(claim: {
    readonly mailbox: string;
    readonly now: number;
    readonly until: number;
    readonly owner: string;
    readonly limit: number;
    /** Written down with the claim, for whoever takes it over. */
    readonly ways?: string;
  }): Promise<readonly OutboxMessage[]>;
  /** Prolongs claims that are still ours, and says which are. */
  prolong(owner: string, ids: readonly string[], until: number): Promise<readonly string[]>;
  /**
   * Gives back what {@link claim} took for `owner` until one of these moments and nobody was told of: the answer to its commit was
   * lost, so no attempt began. As if it had not been touched; how many messages.
   */
  unclaim(lost: { readonly owner: string; readonly untils: readonly number[]; readonly now: number }): Promise<number>;
  /**
   * Takes over messages whose attempt was left unfinished by a process that died: nobody knows whether they went out. A claim
   * that ends after `until`, later than any made now could, was dated by a clock that ran ahead and is over as well.
   * @param claim `except`: attempts that are under way in this process, whatever the clock says
   */
  takeOver(claim: {
    readonly now: number;
    readonly until: number;
    readonly owner: string;
    readonly limit: number;
    readonly except?: readonly string[];
  }): Promise<readonly OutboxMessage[]>;
  /** Changes a message and writes events, if it still has this fence; undefined when it changed meanwhile. */
  change(
    id: string,
    fence: number,
    change: MessageChange,
    events: readonly NewMessageEvent[],
  ): Promise<OutboxMessage | undefined>;
  /** Many changes in one durable transaction, each by itself as {@link change}. */
  changeAll(
    changes: readonly {
      readonly id: string;
      readonly fence: number;
      readonly change: MessageChange;
      readonly events: readonly NewMessageEvent[];
    }[],
  ): Promise<readonly (OutboxMessage | undefined)[]>;
  /** An entry of the ledger of what was sent; undefined before the first. */
  entry(name: string): Promise<string | undefined>;
  /** Writes an entry if it still is `before` (undefined: not there); false when somebody was faster. */
  swapEntry(name: string, before: string | undefined, after: string): Promise<boolean>;
  /** Mailboxes with messages that were tried, were accepted before a moment and still wait. */
  late(which: {
    readonly since: number;
  }): Promise<readonly { readonly mailbox: string; readonly count: number; readonly since: number }[]>;
  /** Entries whose name begins so. */
  entries(prefix: string): Promise<readonly { readonly name: string; readonly entry: string }[]>;
  dropEntry(name: string): Promise<void>;
  /** Gives what waits the time back in which it could not be tried: what was there of it since it was accepted. */
  prolongDeadlines(lost: {
    /** Undefined: of all mailboxes. */
    readonly mailboxes?: readonly string[];
    readonly from: number;
    readonly to: number;
  }): Promise<void>;
  /** What a clock that ran ahead made wait is due now, and its dates are put right; how many messages. What a person scheduled stays so. */
  recall(ahead: Ahead): Promise<number>;
  /** How many messages {@link recall} would find. */
  ahead(ahead: Ahead): Promise<number>;
  /** An event that changes nothing (a bounce, a note). */
  note(message: Pick<OutboxMessage, 'id' | 'mailbox'>, events: readonly NewMessageEvent[]): Promise<void>;
  /** Removes the octets that came under an id, unless they belong to something already. */
  dropArriving(bodyId: string): Promise<void>;
  /** Whether a claim of this key counts at `at` (PostgreSQL: now, by its own clock). */
  knows(scope: string, key: string, at: number): Promise<boolean>;
  /** Events with seq > `after`, ascending. */
  events(filter: {
    readonly after?: number;
    readonly messageId?: string;
    readonly mailboxes?: readonly string[];
    readonly types?: readonly MessageEventType[];
    readonly limit: number;
  }): Promise<readonly MessageEvent[]>;
  /** Number of the newest event; 0 before the first. */
  lastEvent(): Promise<number>;
  stats(now: number, mailbox?: string): Promise<OutboxStats>;
  /**
   * Forgets messages finished before a moment with octets and events, at most `limit` (how many it was), and idempotency keys that
   * have ended at `at` (PostgreSQL: by its own clock).
   */
  prune(old: { readonly finishedBefore: number; readonly at: number; readonly limit: number }): Promise<number>;
}
