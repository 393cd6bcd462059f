/** The tables, as Kysely sees them. The same names and meanings on both engines; only integer and blob types differ. */
import type { Generated } from 'kysely';

export interface Schema {
  applications: ApplicationRow;
  grants: GrantRow;
  mailboxes: MailboxRow;
  app_passwords: AppPasswordRow;
  audit: AuditRow;
  leases: LeaseRow;
  settings: { name: string; value: string };
  /** Grows with every change of a topic, in the transaction of the change; what {@link Store.watch} compares. */
  revisions: { topic: string; revision: number };
  outbox_messages: OutboxMessageRow;
  outbox_chunks: { body_id: string; number: number; data: Uint8Array };
  outbox_arriving: { body_id: string; since: number };
  outbox_events: OutboxEventRow;
  outbox_idempotency: OutboxIdempotencyRow;
  /** What was sent lately, by mailbox: JSON that the outbox reads and writes. */
  outbox_ledger: { name: string; entry: string };
  migrations: { name: string; applied_at: number };
  api_keys: ApiKeyRow;
  templates: TemplateRow;
  suppressions: SuppressionRow;
  webhooks: WebhookRow;
  webhook_deliveries: WebhookDeliveryRow;
  uploads: UploadRow;
  notices: NoticeRow;
  notice_deliveries: NoticeDeliveryRow;
}

export interface ApplicationRow {
  id: string;
  name: string;
  provider: string;
  client_id: string;
  tenant: string | null;
  settings: string;
  credential: Uint8Array | null;
  created_at: number;
  credentials: string;
}

export interface GrantRow {
  id: string;
  application_id: string;
  flow: string;
  identity: string;
  subject: string | null;
  scopes: string;
  state: string;
  tokens: Uint8Array | null;
  generation: number;
  created_at: number;
  renew_at: number | null;
  renewed_at: number | null;
  renewal: string | null;
  /** 1 while the last renewal failed. */
  failing: number;
}

export interface MailboxRow {
  address: string;
  grant_id: string;
  access: string;
  protocols: string;
  settings: string;
  created_at: number;
  suspended: string | null;
}

export interface AppPasswordRow {
  id: string;
  label: string;
  hash: string;
  mailboxes: string;
  protocols: string;
  networks: string;
  outgoing: string | null;
  drop_own_sent_copy: number | null;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
  last_used_at: number | null;
}

export interface AuditRow {
  seq: number;
  at: number;
  type: string;
  outcome: string;
  session_id: string | null;
  mailbox: string | null;
  data: string;
  previous: string;
  hash: string;
}

export interface LeaseRow {
  name: string;
  owner: string;
  fence: number;
  until: number;
}

export interface NoticeRow {
  id: string;
  cause: string;
  body: string;
  raised_at: number;
  resolved_at: number | null;
}

export interface NoticeDeliveryRow {
  notice_id: string;
  status: string;
  channel: string;
  attempts: number;
  next_at: number | null;
  delivered_at: number | null;
  problem: string | null;
}

export interface OutboxMessageRow {
  seq: Generated<number>;
  id: string;
  mailbox: string;
  source: string;
  principal: string;
  remote_address: string | null;
  envelope_from: string;
  recipients: string;
  message_id: string;
  size: number;
  /** 0 urgent, 1 normal: the order in which they go. */
  lane: number;
  dsn: string;
  smtputf8: number;
  eight_bit: number;
  deadline: number;
  attempts: number;
  state: string;
  /** What the state's own time means: due, until, since, at. */
  state_at: number;
  /** Owner of the attempt, or code of the failure. */
  state_by: string | null;
  state_reason: string | null;
  fence: number;
  body_id: string;
  data_key: Uint8Array;
  chunks: number;
  created_at: number;
  finished_at: number | null;
  /** The moment its sender asked for; it is what keeps it waiting while it is `state_at`. */
  not_before: number | null;
}

export interface OutboxEventRow {
  seq: Generated<number>;
  message_id: string;
  mailbox: string;
  at: number;
  type: string;
  data: string;
}

export interface OutboxIdempotencyRow {
  scope: string;
  key: string;
  fingerprint: string;
  message_id: string;
  expires_at: number;
}

export interface ApiKeyRow {
  id: string;
  label: string;
  hash: string;
  actions: string;
  mailboxes: string;
  networks: string;
  rate: number | null;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
  last_used_at: number | null;
}

export interface TemplateRow {
  name: string;
  version: number;
  subject: string;
  html: string | null;
  /** The text part; `text` is a type in SQL. */
  body: string | null;
  created_at: number;
}

export interface SuppressionRow {
  address: string;
  mailbox: string;
  reason: string;
  note: string | null;
  created_at: number;
}

export interface WebhookRow {
  id: string;
  api_key_id: string | null;
  url: string;
  types: string;
  mailboxes: string;
  secrets: Uint8Array;
  state: string;
  /** 1 while the state is `enabled`. */
  enabled: number;
  cursor: number;
  created_at: number;
}

export interface WebhookDeliveryRow {
  seq: Generated<number>;
  id: string;
  webhook_id: string;
  event_id: string;
  type: string;
  ordering_key: string;
  mailbox: string | null;
  payload: string;
  state: string;
  created_at: number;
  next_at: number | null;
  deadline: number;
  finished_at: number | null;
  attempts: string;
  fence: number;
}

export interface UploadRow {
  id: string;
  principal: string;
  filename: string;
  content_type: string;
  size: number;
  data_key: Uint8Array;
  chunks: number;
  created_at: number;
  expires_at: number;
}
