/** The audit room's port. */

/** Everything that leaves a trace. Adding a type is a decision: it is part of the export format. */
export const AUDIT_TYPES = {
  'consent.started': 'somebody began to sign in for a mailbox',
  'consent.granted': 'they consented',
  'consent.refused': 'no consent came of it',
  'token.requested': 'an access token was asked for: the first of a consent, or a renewal',
  'signin.local': 'a program signed in here, or was refused',
  'signin.upstream': 'Postern signed in at the provider for it',
  'session.moved': 'an IMAP session went on in a new connection at the provider, signed in there again',
  'session.ended': 'a session of a program ended',
  'message.relayed':
    'mail passed to the provider while the program waited: from whom, to whom, how large; what the outbox takes has its own story',
  'message.read': 'somebody read the text of a message in the outbox; written before they got it',
  'app-password.created': 'an app password was made',
  'app-password.revoked': 'an app password was revoked',
  'app-password.narrowed': 'an app password no longer opens a mailbox that was removed',
  'api-key.created': 'an API key was made',
  'api-key.revoked': 'an API key was revoked',
  'api-key.narrowed': 'an API key no longer opens a mailbox that was removed',
  'api.refused': 'somebody came to the HTTP API without a valid key, or asked for what the key does not allow',
  'api.changed': '`what` was changed, by the HTTP API or by a command that does the same',
  'mailbox.added': 'a mailbox was opened for the first time',
  'mailbox.moved': 'a mailbox is opened through another application',
  'mailbox.changed': 'how mail of a mailbox leaves, and as whom, was set',
  'mailbox.removed': 'a mailbox was removed',
  'mailbox.held': 'nothing of a mailbox is sent from the outbox until it is released',
  'mailbox.released': 'mail of a held mailbox is sent again',
  'mailbox.suspended': 'a mailbox was closed on purpose',
  'mailbox.resumed': 'a mailbox was opened again',
  'application.added': 'an application was added',
  'application.removed': 'an application was removed',
  'application.changed': 'the settings of an application were changed',
  'application.credential-added': 'a credential was added',
  'application.credential-changed': 'when a client secret ends was corrected',
  'application.credential-activated': 'another credential is used first',
  'application.credential-removed': 'a credential was removed',
  'application.credential-refused': 'the provider no longer takes a credential, and another one was used instead',
  'grant.changed': 'a grant needs its owner, works again, or was suspended on purpose',
  'provider.unreachable': 'a provider gives no tokens',
  'provider.recovered': 'it gives tokens again',
  'clock.jumped': 'the time of day moved by itself',
  'notice.raised': 'something needs attention',
  'notice.resolved': 'it does not any more',
  'notice.delivered': 'somebody was told of it',
  'notice.undeliverable': 'it could not be delivered to anybody',
  'server.started': 'the server started',
  'server.stopped': 'the server stopped',
  'audit.lost': '`lost` notes could not be kept while the database was away; written by the log itself',
  'audit.signed': 'from here on the end of the log is signed; before, a version wrote it that did not sign',
  'audit.broken': 'the end of the log was found changed by something else',
  'audit.forgotten':
    '`records` records older than `audit.keepDays` were removed, up to number `last`; the rest still proves itself',
} as const;
export type AuditType = keyof typeof AUDIT_TYPES;

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
  /**
   * A change and its record in one transaction: both are there, or neither. Of several changes the first one takes the record
   * along; where nothing changes, nothing is recorded. @throws what `work` throws, and what {@link ready} does
   */
  along<T>(entry: AuditEntry, work: () => Promise<T>): Promise<T>;
  /** Resolves when a record could be written now: to be asked before something that has to be recorded. @throws store.* */
  ready(): Promise<void>;
  /** Written within 100 ms together with others, so that a busy gateway does not wait for the disk; flushed at an orderly stop. */
  note(entry: AuditEntry): void;
  flush(): Promise<void>;
}
