/** Notices to people: raised once per cause, resolved when it is gone, each delivered by every channel until it arrived. */

export interface Notice {
  readonly id: string;
  /** What it is about; while a notice of a cause is open there is no second one. */
  readonly cause: string;
  /** Plain JSON without secrets; the server room knows its form. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly raisedAt: number;
  readonly resolvedAt: number | undefined;
}

export interface NoticeDelivery {
  readonly notice: Notice;
  /** Whether it says that something is wrong, or that it is right again. */
  readonly status: 'raised' | 'resolved';
  readonly channel: string;
  /** Tries before this one. */
  readonly attempts: number;
}

export type NoticeOutcome =
  | { readonly type: 'delivered'; readonly at: number }
  | { readonly type: 'again'; readonly at: number; readonly problem: string }
  | { readonly type: 'given-up'; readonly problem: string };

/** Every method @throws store.unavailable. */
export interface NoticeTable {
  /** Writes the notice and what is to be delivered in one transaction; false when one of this cause is open. */
  raise(notice: Omit<Notice, 'resolvedAt'>, channels: readonly string[]): Promise<boolean>;
  /**
   * Closes the open notice of a cause and gives it. Channels that were told what was wrong are told that it is over; what
   * was not delivered yet is not sent any more. `quietly`: nobody is told, since another notice takes its place.
   */
  resolve(cause: string, at: number, quietly?: boolean): Promise<Notice | undefined>;
  open(): Promise<readonly Notice[]>;
  /** Takes due deliveries until `until`, after which they are due again should this process die. */
  claimDeliveries(claim: {
    readonly now: number;
    readonly until: number;
    readonly limit: number;
  }): Promise<readonly NoticeDelivery[]>;
  settle(delivery: Pick<NoticeDelivery, 'notice' | 'status' | 'channel'>, outcome: NoticeOutcome): Promise<void>;
  /** Forgets what was resolved before a moment. */
  prune(resolvedBefore: number): Promise<void>;
}
