/** The access room's port: who may come in locally. */
import type { Secret } from '../base/secret.ts';
import type { Mailbox } from '../store/types.ts';
import type { AppPassword } from '../store/types-access.ts';
import type { Protocol } from '../store/protocols.ts';

export interface SignInAttempt {
  /** What the program gave as user name: a mailbox address, any case. */
  readonly user: string;
  readonly password: Secret;
  readonly protocol: Protocol;
  /** Numeric address of the client. */
  readonly remoteAddress: string;
}

/** Why a local sign-in was refused. The client sees one and the same answer for all but `catch-all` and `slow-down`. */
export type Refusal =
  | 'unknown-password'
  | 'wrong-mailbox'
  | 'wrong-protocol'
  | 'wrong-network'
  | 'expired'
  | 'revoked'
  | 'no-such-mailbox'
  /** The password is right, and the user name is `*@domain` instead of an address. */
  | 'catch-all';

export type SignInResult =
  | { readonly type: 'accepted'; readonly mailbox: Mailbox; readonly appPassword: AppPassword }
  /** With the app password it was, where it is one of ours. */
  | { readonly type: 'refused'; readonly reason: Refusal; readonly appPassword?: Pick<AppPassword, 'id' | 'label'> }
  /** Too many failures from this address or for this mailbox: answer with a temporary failure after `waitMs`. */
  | { readonly type: 'slow-down'; readonly retryAt: number; readonly waitMs: number };

export interface SignIn {
  /**
   * Checks an app password: keyed hash, constant time, brute force slowed per address and per mailbox.
   * @throws store.unavailable, access.empty (there is nothing yet that a password could open)
   */
  verify(attempt: SignInAttempt): Promise<SignInResult>;
  /** The mailbox as it is now, for sessions that sign in at its provider again. @throws store.unavailable */
  mailbox(address: string): Promise<Mailbox | undefined>;
  /** The same from memory, which follows every change within about a second; undefined for one that memory does not know. */
  known(address: string): Mailbox | undefined;
  /** Calls back with ids of app passwords that stopped being valid (revoked, expired), so that live sessions are cut. */
  onRevoked(callback: (appPasswordIds: readonly string[]) => void): { stop(): void };
  /** Calls back with addresses of mailboxes that were removed or suspended, so that live sessions are cut. */
  onClosed(callback: (addresses: readonly string[]) => void): { stop(): void };
  /** Why the mailbox is suspended, from memory; undefined when it is not. */
  suspended(mailbox: Mailbox): string | undefined;
}
