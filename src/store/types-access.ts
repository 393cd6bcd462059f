/** App passwords, as they are stored. */
import type { Protocol } from './protocols.ts';
import type { GivenTable } from './types-api.ts';

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

export interface AppPasswordTable extends GivenTable<AppPassword> {
  /** Notes when passwords were last used, all in one transaction; watchers are not told. */
  touch(used: readonly { readonly id: string; readonly at: number }[]): Promise<void>;
}
