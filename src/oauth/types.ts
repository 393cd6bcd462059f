/** The oauth room's port: what the gateway and the commands ask of it. */
import type { PosternError } from '../base/error.ts';
import type { Secret } from '../base/secret.ts';
import type { Mailbox } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import type { TlsPolicy } from '../base/tls-policy.ts';

/** A bearer token for mail protocols, with what is known of it. */
export interface AccessToken {
  readonly value: Secret;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly scopes: readonly string[];
  readonly grantId: string;
  /** Why there is no newer one, where that does not pass by itself: what is true when a mail server refuses this one. */
  readonly notRenewed?: PosternError;
}

/** Where a mailbox's provider speaks one protocol, and as whom to sign in there. */
export interface MailEndpoint {
  readonly protocol: Protocol;
  readonly host: string;
  readonly port: number;
  readonly tls: 'implicit' | 'starttls';
  /** SASL user name: the mailbox address, or the delegate's where the mailbox says so. */
  readonly user: string;
  /** Mechanisms to try, best first, when the server offers them. */
  readonly mechanisms: readonly ('XOAUTH2' | 'OAUTHBEARER')[];
  readonly trust: TlsPolicy;
}

/** Hands out access tokens. Concurrent callers, also in other processes, share one refresh. */
export interface TokenSource {
  /**
   * A token good for at least a minute, from memory or renewed.
   * @throws oauth.needs-consent (denied), oauth.suspended (denied), oauth.provider-unreachable and oauth.provider-busy (later),
   *   oauth.misconfigured (misuse), oauth.not-granted (misuse: protocol not among the mailbox's protocols)
   */
  accessToken(mailbox: Mailbox, protocol: Protocol, signal?: AbortSignal): Promise<AccessToken>;
  /**
   * A token that the provider issues for this call, whatever is at hand: shows whether the consent still holds. Another
   * process's renewal that began after the call counts too.
   * @throws as `accessToken`
   */
  renewedToken(mailbox: Mailbox, protocol: Protocol, signal?: AbortSignal): Promise<AccessToken>;
  /** Where to connect for this mailbox and protocol. @throws oauth.not-granted, oauth.misconfigured */
  endpoint(mailbox: Mailbox, protocol: Protocol): Promise<MailEndpoint>;
  /** What the mailbox's application is called here, for commands in next steps; undefined when it cannot be told. */
  applicationName?(mailbox: Mailbox): Promise<string | undefined>;
  /** Credentials of an application that its provider has refused, so that another was used; as far as this process has seen. */
  refusedCredentials?(applicationId: string): ReadonlyMap<string, PosternError>;
  /**
   * The mail server refused this token although it looked valid: forget it, so that the next call renews. A token that replaced
   * a refused one is kept for a minute, because another would be refused as well.
   */
  reject(token: AccessToken): void;
}
