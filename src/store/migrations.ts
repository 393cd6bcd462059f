/** How the tables came to be: a list that only grows at its end. An entry, once released, is never edited. */

/** Column types that the engines spell differently, and what follows a table's closing bracket. */
export interface Dialect {
  readonly engine: 'sqlite' | 'postgres';
  readonly integer: string;
  readonly blob: string;
  /** A number that the database counts up by itself, as primary key. */
  readonly serial: string;
  readonly table: string;
}

export const sqliteTypes: Dialect = {
  engine: 'sqlite',
  integer: 'INTEGER',
  blob: 'BLOB',
  serial: 'INTEGER PRIMARY KEY AUTOINCREMENT',
  table: ' STRICT',
};
export const postgresTypes: Dialect = {
  engine: 'postgres',
  integer: 'bigint',
  blob: 'bytea',
  serial: 'bigserial PRIMARY KEY',
  table: '',
};

export interface Migration {
  readonly name: string;
  /** Statements, run in order inside one transaction together with all other missing migrations. */
  readonly up: (dialect: Dialect) => readonly string[];
}

/** Where the audit chain begins: the newest record's number and hash, kept apart from the records so that a cut end shows. */
export const AUDIT_HEAD = 'audit.head';
export const AUDIT_START = { seq: 0, hash: '0'.repeat(64) };

export const migrations: readonly Migration[] = [
  {
    name: '001-first',
    up: ({ integer, blob, table }) => [
      `CREATE TABLE applications (id text PRIMARY KEY, name text NOT NULL UNIQUE, provider text NOT NULL,
        client_id text NOT NULL, tenant text, settings text NOT NULL, credential ${blob},
        created_at ${integer} NOT NULL)${table}`,
      `CREATE TABLE grants (id text PRIMARY KEY, application_id text NOT NULL REFERENCES applications (id),
        flow text NOT NULL, identity text NOT NULL, subject text, scopes text NOT NULL, state text NOT NULL,
        tokens ${blob}, generation ${integer} NOT NULL, created_at ${integer} NOT NULL)${table}`,
      `CREATE TABLE mailboxes (address text PRIMARY KEY, grant_id text NOT NULL REFERENCES grants (id),
        access text NOT NULL, protocols text NOT NULL, settings text NOT NULL, created_at ${integer} NOT NULL)${table}`,
      'CREATE INDEX mailboxes_grant ON mailboxes (grant_id)',
      'CREATE INDEX grants_application ON grants (application_id)',
      `CREATE TABLE app_passwords (id text PRIMARY KEY, label text NOT NULL, hash text NOT NULL UNIQUE,
        mailboxes text NOT NULL, protocols text NOT NULL, networks text NOT NULL, created_at ${integer} NOT NULL,
        expires_at ${integer}, revoked_at ${integer}, last_used_at ${integer})${table}`,
      `CREATE TABLE audit (seq ${integer} PRIMARY KEY, at ${integer} NOT NULL, type text NOT NULL, outcome text NOT NULL,
        session_id text, mailbox text, data text NOT NULL, previous text NOT NULL, hash text NOT NULL)${table}`,
      'CREATE INDEX audit_type ON audit (type, seq)',
      'CREATE INDEX audit_mailbox ON audit (mailbox, seq)',
      'CREATE INDEX audit_session ON audit (session_id, seq)',
      `CREATE TABLE leases (name text PRIMARY KEY, owner text NOT NULL, fence ${integer} NOT NULL,
        until ${integer} NOT NULL)${table}`,
      `CREATE TABLE settings (name text PRIMARY KEY, value text NOT NULL)${table}`,
      `CREATE TABLE revisions (topic text PRIMARY KEY, revision ${integer} NOT NULL)${table}`,
      `INSERT INTO revisions VALUES ('applications', 0), ('grants', 0), ('mailboxes', 0), ('app-passwords', 0)`,
      `INSERT INTO settings VALUES ('${AUDIT_HEAD}', '${JSON.stringify(AUDIT_START)}')`,
    ],
  },
  {
    name: '004-renewal',
    up: ({ integer, table }) => [
      `ALTER TABLE grants ADD COLUMN renew_at ${integer}`,
      `ALTER TABLE grants ADD COLUMN renewed_at ${integer}`,
      'ALTER TABLE grants ADD COLUMN renewal text',
      `ALTER TABLE grants ADD COLUMN failing ${integer} NOT NULL DEFAULT 0`,
      // Whatever was working is looked at once, in a bounded stream.
      `UPDATE grants SET renew_at = 0 WHERE state LIKE '{"type":"active"%' OR state LIKE '{"type":"renewing"%'`,
      'CREATE INDEX grants_due ON grants (application_id, renew_at)',
      `ALTER TABLE applications ADD COLUMN credentials text NOT NULL DEFAULT '[]'`,
      `CREATE TABLE notices (id text PRIMARY KEY, cause text NOT NULL, body text NOT NULL, raised_at ${integer} NOT NULL,
        resolved_at ${integer})${table}`,
      'CREATE UNIQUE INDEX notices_open ON notices (cause) WHERE resolved_at IS NULL',
      `CREATE TABLE notice_deliveries (notice_id text NOT NULL REFERENCES notices (id) ON DELETE CASCADE,
        status text NOT NULL, channel text NOT NULL, attempts ${integer} NOT NULL, next_at ${integer},
        delivered_at ${integer}, problem text, PRIMARY KEY (notice_id, status, channel))${table}`,
      'CREATE INDEX notice_deliveries_due ON notice_deliveries (next_at)',
    ],
  },
  {
    name: '002-outbox',
    up: ({ integer, blob, serial, table }) => [
      `CREATE TABLE outbox_messages (seq ${serial}, id text NOT NULL UNIQUE, mailbox text NOT NULL, source text NOT NULL,
        principal text NOT NULL, envelope_from text NOT NULL, recipients text NOT NULL, message_id text NOT NULL,
        size ${integer} NOT NULL, lane ${integer} NOT NULL, dsn text NOT NULL, smtputf8 ${integer} NOT NULL,
        eight_bit ${integer} NOT NULL, deadline ${integer} NOT NULL, attempts ${integer} NOT NULL, state text NOT NULL,
        state_at ${integer} NOT NULL, state_by text, state_reason text, fence ${integer} NOT NULL, body_id text NOT NULL,
        data_key ${blob} NOT NULL, chunks ${integer} NOT NULL, created_at ${integer} NOT NULL, finished_at ${integer})${table}`,
      // What is due, mailbox by mailbox and in order: as cheap with a million rows as with ten.
      `CREATE INDEX outbox_due ON outbox_messages (mailbox, lane, state_at, seq) WHERE state = 'queued'`,
      `CREATE INDEX outbox_next ON outbox_messages (state_at) WHERE state = 'queued'`,
      `CREATE INDEX outbox_sending ON outbox_messages (state_at) WHERE state = 'sending'`,
      `CREATE INDEX outbox_finished ON outbox_messages (finished_at) WHERE finished_at IS NOT NULL`,
      'CREATE INDEX outbox_mailbox ON outbox_messages (mailbox, seq)',
      'CREATE INDEX outbox_message_id ON outbox_messages (message_id)',
      `CREATE TABLE outbox_chunks (body_id text NOT NULL, number ${integer} NOT NULL, data ${blob} NOT NULL,
        PRIMARY KEY (body_id, number))${table}`,
      // Octets that are written before their message is: what a crash leaves of them is removed by this list.
      `CREATE TABLE outbox_arriving (body_id text PRIMARY KEY, since ${integer} NOT NULL)${table}`,
      `CREATE TABLE outbox_events (seq ${serial}, message_id text NOT NULL, mailbox text NOT NULL, at ${integer} NOT NULL,
        type text NOT NULL, data text NOT NULL)${table}`,
      'CREATE INDEX outbox_events_message ON outbox_events (message_id, seq)',
      `CREATE TABLE outbox_idempotency (scope text NOT NULL, key text NOT NULL, fingerprint text NOT NULL,
        message_id text NOT NULL, expires_at ${integer} NOT NULL, PRIMARY KEY (scope, key))${table}`,
      'CREATE INDEX outbox_idempotency_expiry ON outbox_idempotency (expires_at)',
      `INSERT INTO revisions VALUES ('outbox', 0)`,
    ],
  },
  {
    name: '003-api',
    up: ({ integer, blob, serial, table }) => [
      `CREATE TABLE api_keys (id text PRIMARY KEY, label text NOT NULL, hash text NOT NULL UNIQUE, actions text NOT NULL,
        mailboxes text NOT NULL, networks text NOT NULL, rate ${integer}, created_at ${integer} NOT NULL,
        expires_at ${integer}, revoked_at ${integer}, last_used_at ${integer})${table}`,
      `CREATE TABLE templates (name text NOT NULL, version ${integer} NOT NULL, subject text NOT NULL, html text, body text,
        created_at ${integer} NOT NULL, PRIMARY KEY (name, version))${table}`,
      `CREATE TABLE suppressions (address text NOT NULL, mailbox text NOT NULL, reason text NOT NULL, note text,
        created_at ${integer} NOT NULL, PRIMARY KEY (address, mailbox))${table}`,
      `CREATE TABLE webhooks (id text PRIMARY KEY, url text NOT NULL, types text NOT NULL, mailboxes text NOT NULL,
        secrets ${blob} NOT NULL, state text NOT NULL, enabled ${integer} NOT NULL, cursor ${integer} NOT NULL,
        created_at ${integer} NOT NULL)${table}`,
      `CREATE TABLE webhook_deliveries (seq ${serial}, id text NOT NULL UNIQUE, webhook_id text NOT NULL,
        event_id text NOT NULL, type text NOT NULL, ordering_key text NOT NULL, payload text NOT NULL, state text NOT NULL,
        created_at ${integer} NOT NULL, next_at ${integer}, deadline ${integer} NOT NULL, finished_at ${integer},
        attempts text NOT NULL, fence ${integer} NOT NULL)${table}`,
      `CREATE INDEX webhook_due ON webhook_deliveries (webhook_id, next_at, seq) WHERE state = 'pending'`,
      `CREATE INDEX webhook_order ON webhook_deliveries (webhook_id, ordering_key, seq) WHERE state = 'pending'`,
      'CREATE INDEX webhook_log ON webhook_deliveries (webhook_id, seq)',
      'CREATE INDEX webhook_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL',
      `CREATE TABLE uploads (id text PRIMARY KEY, principal text NOT NULL, filename text NOT NULL, content_type text NOT NULL,
        size ${integer} NOT NULL, data_key ${blob} NOT NULL, chunks ${integer} NOT NULL, created_at ${integer} NOT NULL,
        expires_at ${integer} NOT NULL)${table}`,
      'CREATE INDEX uploads_expiry ON uploads (expires_at)',
      `INSERT INTO revisions VALUES ('api-keys', 0), ('webhooks', 0)`,
    ],
  },
  {
    name: '006-outgoing',
    up: () => ['ALTER TABLE app_passwords ADD COLUMN outgoing text'],
  },
  {
    name: '005-delivery',
    up: ({ table }) => [`CREATE TABLE outbox_ledger (name text PRIMARY KEY, entry text NOT NULL)${table}`],
  },
  {
    name: '007-suppression-news',
    up: () => [`INSERT INTO revisions VALUES ('suppressions', 0)`],
  },
  {
    name: '008-mailbox-suspended',
    up: () => ['ALTER TABLE mailboxes ADD COLUMN suspended text'],
  },
  {
    // The oldest of what is due goes first, whenever it was put off.
    name: '009-oldest-first',
    up: () => [`CREATE INDEX outbox_order ON outbox_messages (mailbox, lane, seq, state_at) WHERE state = 'queued'`],
  },
  {
    // The head of the audit chain is signed from now on; a version that does not know that would drop the signature.
    name: '010-signed-audit',
    up: () => [],
  },
  {
    // Who sent what, when and from where.
    name: '011-who-sent',
    up: ({ engine }) => [
      'ALTER TABLE outbox_messages ADD COLUMN remote_address text',
      'CREATE INDEX outbox_remote ON outbox_messages (remote_address, seq) WHERE remote_address IS NOT NULL',
      'CREATE INDEX outbox_principal ON outbox_messages (principal, seq)',
      'CREATE INDEX outbox_created ON outbox_messages (created_at, seq)',
      'CREATE INDEX audit_at ON audit (at, seq)',
      `CREATE INDEX audit_password ON audit ((${auditFact(engine, 'appPasswordId')}), seq)`,
      `CREATE INDEX audit_address ON audit ((${auditFact(engine, 'remoteAddress')}), seq)`,
    ],
  },
  {
    name: '012-own-sent-copy',
    up: ({ integer }) => [`ALTER TABLE app_passwords ADD COLUMN drop_own_sent_copy ${integer}`],
  },
  {
    // A webhook ends with the API key it belongs to.
    name: '013-webhook-owner',
    up: () => ['ALTER TABLE webhooks ADD COLUMN api_key_id text'],
  },
  {
    // What a webhook was told is judged by the mailbox it is of. Where an older payload does not say it: seen by all-mailbox keys only.
    name: '014-delivery-mailbox',
    up: ({ engine }) => [
      'ALTER TABLE webhook_deliveries ADD COLUMN mailbox text',
      `UPDATE webhook_deliveries SET mailbox = coalesce(${
        engine === 'postgres'
          ? String.raw`substring(payload from '"mailbox":"([^"]+)","sequence":[0-9]+\}\}$')`
          : `json_extract(payload, '$.data.mailbox')`
      }, '') WHERE type <> 'webhook.test'`,
    ],
  },
  {
    // Which moment somebody asked for is said, and no longer told from other times, which a corrected clock changes.
    name: '015-not-before',
    up: ({ integer }) => [
      `ALTER TABLE outbox_messages ADD COLUMN not_before ${integer}`,
      `UPDATE outbox_messages SET not_before = state_at WHERE state = 'queued' AND state_at > created_at AND EXISTS (
        SELECT 1 FROM outbox_events e WHERE e.type IN ('accepted', 'edited') AND e.at <> outbox_messages.state_at
        AND e.seq = (SELECT max(l.seq) FROM outbox_events l WHERE l.message_id = outbox_messages.id
          AND NOT (l.type = 'edited' AND l.data NOT LIKE '%"notBefore"%')))`,
    ],
  },
  {
    // What came of the last check or test of a mailbox.
    name: '016-mailbox-tried',
    up: () => ['ALTER TABLE mailboxes ADD COLUMN tried text'],
  },
];

/** A fact of an audit record in SQL, as an index and the queries that use it spell it alike. */
export function auditFact(engine: Dialect['engine'], name: string): string {
  return engine === 'postgres' ? `(data::json ->> '${name}')` : `json_extract(data, '$.${name}')`;
}
