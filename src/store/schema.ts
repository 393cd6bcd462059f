/** The tables, as Kysely sees them. The same names and meanings on both engines; only integer and blob types differ. */
import type { Generated } from 'kysely';
import type { AppPassword } from './types-access.ts';
import type { ApiKey, Suppression, Template, Upload, Webhook, WebhookDelivery } from './types-api.ts';
import type { Notice } from './types-notices.ts';
import type { MessageEvent } from './types-outbox.ts';
import type { Application, AuditRecord, Grant, Lease, Mailbox } from './types.ts';

export interface Schema {
  applications: RowOf<Application>;
  grants: GrantRow;
  mailboxes: RowOf<Kept['mailboxes']>;
  app_passwords: RowOf<AppPassword>;
  audit: AuditRow;
  leases: LeaseRow;
  settings: { name: string; value: string };
  /** Grows with every change of a topic, in the transaction of the change; what {@link Store.watch} compares. */
  revisions: { topic: string; revision: number };
  outbox_messages: OutboxMessageRow;
  outbox_chunks: { body_id: string; number: number; data: Uint8Array };
  outbox_arriving: { body_id: string; since: number };
  outbox_events: OutboxEventRow;
  outbox_idempotency: { scope: string; key: string; fingerprint: string; message_id: string; expires_at: number };
  /** What was sent lately, by mailbox: JSON that the outbox reads and writes. */
  outbox_ledger: { name: string; entry: string };
  migrations: { name: string; applied_at: number };
  api_keys: RowOf<ApiKey>;
  /** The text part is `body`; `text` is a type in SQL. */
  templates: RowOf<Omit<Template, 'text'>> & { body: string | null };
  suppressions: SuppressionRow;
  /** `enabled`: 1 while the state is that. */
  webhooks: RowOf<Webhook> & { enabled: number };
  webhook_deliveries: Numbered<RowOf<WebhookDelivery>>;
  uploads: RowOf<Omit<Upload, 'key'>> & { data_key: Uint8Array };
  notices: NoticeRow;
  notice_deliveries: NoticeDeliveryRow;
}

/** What rows hold that are one thing each; {@link rowsOf} writes and reads them. */
export interface Kept {
  applications: Application;
  grants: Grant;
  mailboxes: Omit<Mailbox, 'catchAll'>;
  app_passwords: AppPassword;
  api_keys: ApiKey;
  templates: Template;
  suppressions: Suppression;
  webhooks: Webhook;
  webhook_deliveries: WebhookDelivery;
  uploads: Upload;
  notices: Notice;
}

/** A column for each member: NULL for undefined, a number for a flag, JSON text for what is no plain value. */
type RowOf<T> = { [K in keyof T & string as Underscored<K>]-?: Column<T[K]> };
type Column<V> = V extends undefined
  ? null
  : V extends string | number | Uint8Array
    ? V
    : V extends boolean
      ? number
      : string;
type Underscored<Name extends string> = Name extends `${infer Head}${infer Rest}`
  ? `${Head extends Lowercase<Head> ? Head : `_${Lowercase<Head>}`}${Underscored<Rest>}`
  : Name;
/** The database counts. */
type Numbered<Row extends { seq: number }> = Omit<Row, 'seq'> & { seq: Generated<number> };

/** The renewal again, as far as it is asked for: `failing` is 1 while the last one failed. */
export type GrantRow = RowOf<Grant> & { renewed_at: number | null; failing: number };
export type AuditRow = RowOf<AuditRecord>;
export type LeaseRow = RowOf<Lease>;
export type SuppressionRow = RowOf<Suppression>;
export type NoticeRow = RowOf<Notice>;
export type OutboxEventRow = Numbered<RowOf<MessageEvent>>;

interface NoticeDeliveryRow {
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
