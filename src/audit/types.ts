/** The audit room's port. */

/** Everything that leaves a trace. Adding a type is a decision: it is part of the export format. */
export type AuditType =
  | 'consent.started'
  | 'consent.granted'
  | 'consent.refused'
  | 'token.requested'
  | 'signin.local'
  | 'signin.upstream'
  | 'session.ended'
  | 'app-password.created'
  | 'app-password.revoked'
  | 'mailbox.added'
  | 'mailbox.removed'
  | 'application.added'
  | 'application.removed'
  | 'server.started'
  | 'server.stopped'
  /** Written by the log itself: `data.lost` notes could not be kept while the database was away. */
  | 'audit.lost';

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
