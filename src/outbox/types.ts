/** What the outbox offers to whoever hands mail over, delivers it or looks at it. */
import type { Outgoing, OutgoingRecipient } from '../protocol/smtp/send.ts';
import type { Mailbox } from '../store/types.ts';
import type { MessageLane, MessageSource, OutboxMessage, OutboxStats, OutboxTable } from '../store/types-outbox.ts';

/** What SMTP says of a message beside its octets. `from` is empty only for reports. */
export type Envelope = Pick<Outgoing, 'from' | 'recipients' | 'ret' | 'envid'> &
  Partial<Pick<Outgoing, 'smtputf8' | 'eightBit'>>;

export interface AcceptRequest {
  /** Whose grant sends it. */
  readonly mailbox: Mailbox;
  readonly envelope: Envelope;
  readonly source: MessageSource;
  /** Allows this sender alone, in the envelope and in `From` and `Sender`: for who did not sign in. */
  readonly onlySender?: string;
  /** Id of the app password, API key or device rule that hands it over. */
  readonly principal: string;
  /** Network address it came from. */
  readonly remoteAddress?: string;
  readonly lane?: MessageLane;
  /** Not before this moment, milliseconds since the epoch. */
  readonly notBefore?: number;
  /** When it is given up; default two days after it may first go. */
  readonly deadline?: number;
  /** Same key, same message: the first one is given back. The header `Idempotency-Key` says it in the message itself. */
  readonly idempotencyKey?: string;
  /**
   * What repetitions under one Idempotency-Key are compared by, where that is not envelope and octets: a request to compose
   * a message gives other octets each time. SHA-256, hex.
   */
  readonly fingerprint?: string;
  /** Removes `Bcc` from the header, as sendmail does with -t; default: the header stays as it is. */
  readonly dropBcc?: boolean;
  /** Display name of a `From` that is added because the message has none. */
  readonly authorName?: string;
  /** Names of the machine whose own program hands it over: addresses there are local names. In lower case. */
  readonly localHosts?: readonly string[];
  /** Sender and recipients have just passed {@link Outbox.checkSender} and {@link Outbox.checkRecipient}. */
  readonly checked?: boolean;
  /** Asked right before the message is written down: throws if whoever hands it over may not do so any more. */
  confirm?(): Promise<void>;
}

export interface Accepted {
  readonly message: OutboxMessage;
  /** It was accepted before, under the same Idempotency-Key. */
  readonly replayed: boolean;
}

/** Every method @throws store.unavailable, vault.*. */
export interface Outbox extends Pick<OutboxTable, 'find' | 'list' | 'events'> {
  /** Most octets of a message. */
  readonly maxOctets: number;
  /** What names without a domain are completed with; undefined: they are refused as recipients. */
  readonly localDomain: string | undefined;
  /**
   * Takes a message: when the promise resolves it is durable. `body` is RFC 5322 octets with CRLF.
   * The mailbox counts as it is set up when the last octet has come.
   * @throws oauth.suspended, outbox.address, .no-recipients, .too-many-recipients, .sender, .suppressed, .too-large, .header,
   *   .bare-newline, .nul, .idempotency-mismatch, .idempotency-busy, or what `body` throws; then nothing was taken
   */
  accept(request: AcceptRequest, body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Accepted>;
  /** The checks of {@link accept} that need no body, for SMTP's MAIL and RCPT. @throws as accept */
  checkSender(mailbox: Mailbox, from: string, only?: string): void;
  checkRecipient(mailbox: Mailbox, address: string, count: number): Promise<void>;
  /** Nobody has closed the mailbox. @throws oauth.suspended, outbox.not-found */
  checkOpen(mailbox: Mailbox): Promise<void>;
  /** Whether a message was accepted under this Idempotency-Key of a principal, and a repetition would give it. @throws store.unavailable */
  knows(principal: string, key: string): Promise<boolean>;
  /** The octets as they are sent. @throws vault.damaged */
  body(message: Pick<OutboxMessage, 'id' | 'bodyId' | 'key' | 'chunks'>): AsyncIterable<Uint8Array>;
  stats(mailbox?: string): Promise<OutboxStats>;
  /** These give the message afterwards. @throws outbox.not-found, outbox.too-late */
  cancel(id: string, by: string): Promise<OutboxMessage>;
  hold(id: string, by: string, reason: string): Promise<OutboxMessage>;
  /** Back into the queue, due now; also a failed message, whose deadline starts again. */
  retry(id: string, by: string): Promise<OutboxMessage>;
  /** Another message in its place is judged as if it came now, from who writes it. @throws as accept */
  edit(id: string, by: string, change: Edit): Promise<OutboxMessage>;
  /** Keeps everything of a mailbox from being sent, new messages too, until it is released. */
  holdMailbox(address: string, by: string, reason: string): Promise<void>;
  releaseMailbox(address: string): Promise<void>;
  /** Removes what is left of messages that never arrived whole, and forgets finished ones after their time. How many. */
  tidy(): Promise<{ readonly orphans: number; readonly forgotten: number }>;
  close(): Promise<void>;
}

export interface Edit {
  readonly notBefore?: number;
  readonly deadline?: number;
  readonly lane?: MessageLane;
  /** Another message in its place. */
  readonly content?: {
    /** Who hands this one over, and answers for it from then on. */
    readonly writer: Pick<OutboxMessage, 'principal' | 'source' | 'remoteAddress'>;
    /** Missing: as they are. */
    readonly recipients?: readonly OutgoingRecipient[];
    readonly body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  };
}
