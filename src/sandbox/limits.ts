/** What Exchange Online and Graph put up with, as data, and the ledger that counts. Times are the tenant's. */
import type { Clock } from '../base/clock.ts';

export interface TenantLimits {
  /** Messages a minute from one mailbox; what is more is taken and delivered in the minutes after. */
  messagesPerMinute: number;
  /** Connections of one mailbox that send at the same time: 432 4.3.2. */
  smtpConnections: number;
  /** Recipients in any 24 hours from one mailbox: 554 5.2.0. */
  recipientsPerDay: number;
  /** 452 4.5.3. */
  recipientsPerMessage: number;
  /** Octets of one message: 552 5.3.4. */
  messageOctets: number;
  /** IMAP sessions of one mailbox; more are authenticated but not connected. */
  imapConnections: number;
  /** Requests of one mailbox that Graph handles at the same time: 429. */
  graphConcurrent: number;
  /** Requests of one mailbox in ten minutes: 429. */
  graphRequests: number;
  /** Octets of one request to Graph: 413. */
  graphRequestOctets: number;
  /** Octets of uploads that are under way in all connections together, so that no client can fill the memory. */
  uploadOctets: number;
}

/** As documented for Exchange Online; `uploadOctets` is the sandbox's own. */
export const exchangeLimits: Readonly<TenantLimits> = {
  messagesPerMinute: 30,
  smtpConnections: 3,
  recipientsPerDay: 10_000,
  recipientsPerMessage: 500,
  messageOctets: 157_286_400,
  imapConnections: 20,
  graphConcurrent: 4,
  graphRequests: 10_000,
  graphRequestOctets: 4 * 1024 * 1024,
  uploadOctets: 512 * 1024 * 1024,
};

const MINUTE = 60_000;
const TEN_MINUTES = 600_000;
const DAY = 86_400_000;

interface Account {
  /** When messages are due to be delivered; the newest last. */
  readonly due: number[];
  readonly recipients: { readonly at: number; readonly count: number }[];
  readonly requests: number[];
  readonly open: Map<string, number>;
}

/** Who has used how much. */
export class Ledger {
  readonly limits: TenantLimits;
  readonly #clock: Clock;
  readonly #accounts = new Map<string, Account>();
  /** Octets of uploads under way. */
  uploading = 0;

  constructor(clock: Clock, limits: Readonly<Partial<TenantLimits>> = {}) {
    this.#clock = clock;
    this.limits = { ...exchangeLimits, ...limits };
  }

  /** Books one message and gives the milliseconds by which its delivery is late. */
  takeMessage(mailbox: string): number {
    const { due } = this.#account(mailbox);
    const now = this.#clock.now();
    while (due.length > 0 && due[0]! <= now - MINUTE) due.shift();
    const full = due.length - this.limits.messagesPerMinute;
    const at = full < 0 ? now : Math.max(now, due[full]! + MINUTE);
    due.push(at);
    return at - now;
  }

  /** Books the recipients of one message; false when that would be too many for a day. */
  takeRecipients(mailbox: string, count: number): boolean {
    const { recipients } = this.#account(mailbox);
    const now = this.#clock.now();
    while (recipients.length > 0 && recipients[0]!.at <= now - DAY) recipients.shift();
    const used = recipients.reduce((sum, each) => sum + each.count, 0);
    if (used + count > this.limits.recipientsPerDay) return false;
    recipients.push({ at: now, count });
    return true;
  }

  /** Books one request to Graph; otherwise the milliseconds until there is room again. */
  takeRequest(mailbox: string): number {
    const { requests } = this.#account(mailbox);
    const now = this.#clock.now();
    while (requests.length > 0 && requests[0]! <= now - TEN_MINUTES) requests.shift();
    if (requests.length >= this.limits.graphRequests) return requests[0]! + TEN_MINUTES - now;
    requests.push(now);
    return 0;
  }

  /** Counts something open, a session or a request; gives what ends it. */
  enter(mailbox: string, what: 'imap' | 'smtp' | 'graph'): () => void {
    const { open } = this.#account(mailbox);
    open.set(what, (open.get(what) ?? 0) + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      open.set(what, open.get(what)! - 1);
    };
  }

  open(mailbox: string, what: 'imap' | 'smtp' | 'graph'): number {
    return this.#account(mailbox).open.get(what) ?? 0;
  }

  /** Room for octets of an upload; false when there is none. */
  reserve(octets: number): boolean {
    if (this.uploading + octets > this.limits.uploadOctets) return false;
    this.uploading += octets;
    return true;
  }

  release(octets: number): void {
    this.uploading -= octets;
  }

  #account(mailbox: string): Account {
    const key = mailbox.toLowerCase();
    let account = this.#accounts.get(key);
    if (!account) this.#accounts.set(key, (account = { due: [], recipients: [], requests: [], open: new Map() }));
    return account;
  }
}
