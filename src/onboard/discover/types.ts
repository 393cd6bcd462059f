/** What discovery gives: candidates, best first, and where was looked. */
import type { MailServer } from '../../oauth/preset.ts';
import type { Protocol } from '../../store/protocols.ts';

/** `domain` and `mx` name a provider we know; `autoconfig` and `ispdb` are files; `srv` are DNS records (RFC 6186, RFC 8314). */
export type Source = 'domain' | 'mx' | 'autoconfig' | 'ispdb' | 'srv';

export interface Candidate {
  readonly source: Source;
  /** What it was found in: a record, or the address of a file. */
  readonly evidence: string;
  /** Preset to use; `oidc` where only servers, and perhaps an issuer, are known. */
  readonly preset: string;
  readonly name: string;
  readonly mail: Partial<Readonly<Record<Protocol, MailServer>>>;
  /** `oauth2` where the source says so or the provider is known for it. */
  readonly signIn: 'oauth2' | 'password' | 'unstated';
  /** Where a provider that takes passwords only gives them out; the mail program uses that, without Postern. */
  readonly appPassword?: string;
  /** Authorization server, where the source names one. */
  readonly issuer?: string;
  /** Scopes the source names. */
  readonly scopes?: readonly string[];
  /** Why a person should look before trusting it; undefined when the domain itself said so over TLS, or we know it. */
  readonly caution?: string;
}

export interface Attempt {
  readonly source: Source;
  readonly where: string;
  readonly outcome: 'found' | 'nothing' | 'failed' | 'not-asked';
  readonly note?: string;
}

export interface Discovery {
  readonly address: string;
  readonly domain: string;
  readonly candidates: readonly Candidate[];
  readonly attempts: readonly Attempt[];
}
