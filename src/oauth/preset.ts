/** What is known of a provider before anybody registered there: the shape of an entry of `providers.ts`. */
import type { Protocol } from '../store/protocols.ts';

export type Confidence = 'vendor' | 'secondary' | 'unverified';

export interface MailServer {
  readonly host: string;
  readonly port: number;
  readonly tls: 'implicit' | 'starttls';
}

export interface Source {
  readonly what: string;
  readonly from: string;
  readonly confidence: Confidence;
}

/** Endpoint addresses; absent where the provider has none or discovery tells. */
export interface Endpoints {
  readonly authorization: string;
  readonly token: string;
  readonly deviceAuthorization?: string;
  readonly jwks?: string;
  /** RFC 7009. */
  readonly revocation?: string;
}

/** What a provider lets one mailbox send. */
export interface SendingLimits {
  /** Messages within 60 seconds; undefined: no limit known. */
  readonly messagesPerMinute: number | undefined;
  /** Recipients within 24 hours. */
  readonly recipientsPerDay: number | undefined;
  /** Connections of this mailbox at a time, all processes together. */
  readonly connections: number;
}

interface PresetBase {
  readonly id: string;
  readonly name: string;
  /** What an application here is called where nobody names it. */
  readonly applicationName: string;
  /** Which `postern register` makes an application here; `vendor`: only the provider itself does, on request. */
  readonly register: 'microsoft' | 'google' | 'oidc' | 'vendor';
  /** The provider asks for a client secret even of an application that runs on the person's own machine. */
  readonly needsSecret?: true;
  readonly sendingLimits: SendingLimits;
  /**
   * The provider itself keeps a copy of what is submitted by SMTP among the sent mail. Only then does its absence there say that a
   * message did not go out.
   */
  readonly savesSent?: true;
  /** Ways out of the outbox, in the order in which they are tried. */
  readonly routes: readonly ('smtp' | 'graph')[];
  readonly mail: Partial<Readonly<Record<Protocol, MailServer>>>;
  /** Scopes of each protocol. A protocol without scopes cannot be asked for. */
  readonly scopes: Partial<Readonly<Record<Protocol, readonly string[]>>>;
  /** Scopes besides those of the protocols: what renewal and the identity check need, nothing else. */
  readonly baseScopes: readonly string[];
  readonly mechanisms: readonly ('XOAUTH2' | 'OAUTHBEARER')[];
  /** Added to every authorization request. */
  readonly extraParameters: Readonly<Record<string, string>>;
  readonly deviceCode: 'yes' | 'discouraged' | 'no';
  /** `id-token`: verified at sign-in. `mail-server`: the provider issues none; its mail servers tie the token to the mailbox. */
  readonly identity: 'id-token' | 'mail-server';
  /** Days without a renewal after which a grant ends; absent where no such limit is known. */
  readonly inactivityDays?: number;
  /** Where a person withdraws what they consented to, in words that follow a colon. */
  readonly consents?: string;
  readonly notes: readonly string[];
  readonly sources: readonly Source[];
}

export type CloudName = 'global' | 'gcc-high' | 'dod' | 'china';

export interface MicrosoftPreset extends PresetBase {
  readonly family: 'microsoft';
  /** Where its applications are registered. */
  readonly cloud: CloudName;
  /** `organization`: the tenant is the organisation's; `personal`: there is one for all people. */
  readonly accounts: 'organization' | 'personal';
  /** `https://login…`; paths follow from the tenant. */
  readonly loginOrigin: string;
  readonly defaultTenant: string;
  /** Prefix of the delegated scopes, also the audience of the tokens. */
  readonly resource: string;
  /** Audience asked for by app-only flows. */
  readonly appResource: string;
  readonly federatedAudience: string;
}

export interface StandardPreset extends PresetBase {
  readonly family: 'standard';
  /** For ID tokens and, without `endpoints`, for discovery (RFC 8414, OpenID Connect Discovery). */
  readonly issuer: string | undefined;
  readonly endpoints: Endpoints | undefined;
  /** Accepted `aud` of readable access tokens; empty accepts any. */
  readonly audiences: readonly string[];
}

export type Preset = MicrosoftPreset | StandardPreset;
