/** The audit room's port. */

/** Everything that leaves a trace. Adding a type is a decision: it is part of the export format. */
export type AuditType =
  | 'consent.started'
  | 'consent.granted'
  | 'consent.refused'
  | 'token.requested'
  | 'signin.local'
  | 'signin.upstream'
  /** An IMAP session went on in a new connection at the provider, signed in there anew. */
  | 'session.moved'
  | 'session.ended'
  /** Mail passed to the provider while the program waited: from whom, to whom, how large. What the outbox takes has its own story. */
  | 'message.relayed'
  | 'app-password.created'
  | 'app-password.revoked'
  /** It no longer opens a mailbox that was removed. */
  | 'app-password.narrowed'
  | 'api-key.created'
  | 'api-key.revoked'
  | 'api-key.narrowed'
  /** Somebody came to the HTTP API without a valid key, or asked for what the key does not allow. */
  | 'api.refused'
  /**
   * A write by the HTTP API, or by a command that does the same, other than handing over mail, whose record is the event
   * `message.accepted`.
   */
  | 'api.changed'
  | 'mailbox.added'
  | 'mailbox.moved'
  | 'mailbox.removed'
  /** Closed, or opened again, on purpose. */
  | 'mailbox.suspended'
  | 'mailbox.resumed'
  | 'application.added'
  | 'application.removed'
  | 'application.credential-added'
  | 'application.changed'
  | 'application.credential-activated'
  | 'application.credential-removed'
  /** The provider no longer takes a credential, and another one was used instead. */
  | 'application.credential-refused'
  /** A grant needs its owner, works again, or was suspended on purpose. */
  | 'grant.changed'
  | 'provider.unreachable'
  | 'provider.recovered'
  | 'clock.jumped'
  /** Something that needs attention came up, went away, or was told to somebody. */
  | 'notice.raised'
  | 'notice.resolved'
  | 'notice.delivered'
  | 'notice.undeliverable'
  | 'server.started'
  | 'server.stopped'
  /** Written by the log itself: `data.lost` notes could not be kept while the database was away. */
  | 'audit.lost'
  /** Written by the log itself: from here on its end is signed; before, a version wrote it that did not sign. */
  | 'audit.signed'
  /** Written by the log itself: its end was found changed by something else. */
  | 'audit.broken'
  /** Records older than `audit.keepDays` were removed: `data.records` of them, up to number `data.last`. */
  | 'audit.forgotten';

export interface AuditEntry {
  readonly type: AuditType;
  readonly outcome: 'ok' | 'failed';
  readonly sessionId?: string;
  readonly mailbox?: string;
  /** Facts without secrets: flow, code, remoteAddress, bytes, appPasswordId. */
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface Audit {
  /** Durable and chained when the promise resolves. For consents, tokens and administrative acts. @throws store.unavailable */
  record(entry: AuditEntry): Promise<void>;
  /** Written within 100 ms together with others, so that a busy gateway does not wait for the disk; flushed at an orderly stop. */
  note(entry: AuditEntry): void;
  flush(): Promise<void>;
}
