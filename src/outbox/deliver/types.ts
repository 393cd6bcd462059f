/** How a message leaves: routes, and what an attempt can end in. */
import type { Refusal } from '../../oauth/catalogue/refusal.ts';
import type { Mailbox } from '../../store/types.ts';
import type { OutboxMessage, Recipient } from '../../store/types-outbox.ts';
import type { Verdict } from './proof.ts';

/** What a server or service said, kept whole for the story of the message. */
export interface ProviderReply {
  /** SMTP or HTTP status; undefined when nothing was said. */
  readonly code: number | undefined;
  readonly enhanced: string | undefined;
  readonly text: string;
}

/** What has to rest, because a refusal was about it and not about the message that met it. `row` may be one of our codes instead. */
export interface RestCause extends Omit<Refusal, 'whose'> {
  /** A way out of the mailbox, the mailbox, all mailboxes of its application, or whoever uses the server. */
  readonly scope: 'route' | 'mailbox' | 'tenant' | 'endpoint';
}

export interface RecipientOutcome {
  readonly address: string;
  readonly outcome: 'delivered' | 'refused' | 'later';
  readonly reply: string;
}

/** What was said, and our code for it. */
interface Said {
  readonly code: string;
  readonly reply: ProviderReply;
}

/** An outcome that is not about the message. */
export interface Rested extends Said {
  readonly rest?: RestCause;
  /** Since when it rests, when it is tried next, and whether it is news: added by who keeps count. */
  readonly since?: number;
  readonly until?: number;
  readonly first?: boolean;
}

export type Outcome =
  /** Taken for at least one recipient. */
  | {
      readonly type: 'sent';
      readonly reply: ProviderReply;
      readonly recipients: readonly RecipientOutcome[];
      /** Whoever took it reports as the sender asked (RFC 3461); otherwise that is ours. */
      readonly dsnPassedOn?: boolean;
      /** Why some recipients have to wait, where that was not about them. */
      readonly rest?: RestCause;
      /** How it is known where the provider's own word was lost: by our mark in its copy, or by a copy that fits but has none. */
      readonly proof?: 'mark' | 'probable';
    }
  /** Not now: the message stays as it is. `retryAfterMs` where the provider named a time. */
  | (Rested & { readonly type: 'later'; readonly retryAfterMs?: number })
  /** Never: nobody got it and nobody will by trying again. */
  | (Said & { readonly type: 'refused'; readonly recipients: readonly RecipientOutcome[] })
  /** This way is shut for the mailbox (SMTP AUTH switched off); another route may be open. */
  | (Rested & { readonly type: 'closed' })
  /** This message cannot go this way (too large for it, nobody's name on it); others can, and it may go another way. */
  | (Said & { readonly type: 'unfit' })
  /** A person has to act before anything of this mailbox can leave (consent ended). */
  | (Rested & { readonly type: 'blocked' })
  /** Nothing was tried: something on this way rests until then. `closed`: another way may be tried meanwhile. */
  | (Said & { readonly type: 'resting'; readonly closed: boolean; readonly since: number; readonly until: number })
  /** The connection was lost after the last octet: taken, or not. */
  | { readonly type: 'unknown'; readonly reply: ProviderReply };

/** A way out. Implementations keep connections; `close` ends them. */
export interface Route {
  /** `smtp`, `graph`, `relay`. */
  readonly name: string;
  /** What it takes is not kept among the mailbox's sent messages: that it is not there says nothing. */
  readonly leavesNoCopy?: boolean;
  /** The server it uses for a mailbox, `host:port`; who cannot reach it spares others the try. @throws oauth.misconfigured, store.unavailable */
  endpoint?(mailbox: Mailbox): Promise<string>;
  /** Sends to the recipients that are pending. Never rejects but with the signal's reason. */
  send(job: SendJob, signal: AbortSignal): Promise<Outcome>;
  close(): Promise<void>;
}

export interface SendJob {
  readonly message: OutboxMessage;
  readonly mailbox: Mailbox;
  readonly recipients: readonly Recipient[];
  /** The octets as accepted; what is sent begins with {@link mark}. */
  body(): AsyncIterable<Uint8Array>;
  /** What servers call the envelope (RFC 3461 §4.4). */
  readonly envelopeId: string;
  /** The header field that proves a transaction for exactly these recipients, CRLF included (proof.ts). */
  mark(recipients: readonly Recipient[]): string;
  /** Octets of {@link mark}. */
  readonly markOctets: number;
  /**
   * Writes down whom the provider refused and whom it would take the message for, before the last octet is sent: what was said at
   * RCPT must outlive the connection and the process. To be called where not all were taken.
   * @throws store.unavailable, outbox.claim-lost: then the message must not be finished
   */
  named(outcomes: readonly RecipientOutcome[]): Promise<void>;
  /** To be asked right before the last octet. @throws outbox.claim-lost: somebody else looks after the message now */
  mayFinish(): void;
}

/** An attempt whose end nobody saw. */
export interface OpenAttempt {
  readonly message: OutboxMessage;
  readonly mailbox: Mailbox;
  /** For whom the provider would have taken it. */
  readonly recipients: readonly Recipient[];
  /** When it began, at the earliest. */
  readonly since: number;
  /** When it had ended at the latest, where that was before now. */
  readonly endedAt?: number;
  body(): AsyncIterable<Uint8Array>;
}

/** Who tells whether a message went out although its connection broke. */
export interface SentProbe {
  /**
   * @returns what the sent mail says (proof.ts); `failed`: it could not be looked at just now; `unable`: it never can, or the
   *   provider keeps none. Never rejects but with the signal's reason.
   */
  look(attempt: OpenAttempt, signal: AbortSignal): Promise<Verdict | 'failed' | 'unable'>;
}

export interface DeliveryMeter {
  /** The end of an attempt: `sent`, `later`, `refused`, `closed`, `blocked`, `unknown`, with our code. */
  attempted(route: string, outcome: string, code: string, milliseconds: number): void;
}
