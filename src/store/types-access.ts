/** App passwords, as they are stored. */
import type { Protocol } from './protocols.ts';
import type { Withdrawal } from './types-api.ts';

/** A generated local secret for one program. Only its keyed hash is kept. */
export interface AppPassword {
  readonly id: string;
  readonly label: string;
  /** HMAC-SHA-256 of the password under a vault-derived key, hex. Unique. */
  readonly hash: string;
  /** Addresses it opens; empty is none, `['*']` is every mailbox. */
  readonly mailboxes: readonly string[];
  readonly protocols: readonly Protocol[];
  /** CIDR blocks it may be used from; empty is anywhere. */
  readonly networks: readonly string[];
  /** How mail handed over with it leaves; undefined: as its mailbox says. */
  readonly outgoing?: 'direct' | 'outbox' | undefined;
  /** The program's own copy in Sent is left out where the provider keeps one of the same message. */
  readonly dropOwnSentCopy?: boolean | undefined;
  readonly createdAt: number;
  readonly expiresAt: number | undefined;
  readonly revokedAt: number | undefined;
  readonly lastUsedAt: number | undefined;
}

export interface AppPasswordTable {
  insert(row: AppPassword): Promise<void>;
  find(id: string): Promise<AppPassword | undefined>;
  byHash(hash: string): Promise<AppPassword | undefined>;
  list(): Promise<readonly AppPassword[]>;
  revoke(id: string, at: number): Promise<boolean>;
  /** Takes these names out of the mailboxes of every row; one that named nothing else is revoked. @returns those that were valid */
  withdraw(names: readonly string[], at: number): Promise<readonly Withdrawal[]>;
  /** Notes when passwords were last used, all in one transaction; watchers are not told. */
  touch(used: readonly { readonly id: string; readonly at: number }[]): Promise<void>;
}
