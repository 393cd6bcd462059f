/** All tables on one engine, and which of their methods only read. */
import { sql } from 'kysely';
import type { Engine } from './engine.ts';
import { apiKeyTable } from './table/api-keys.ts';
import { appPasswordTable } from './table/app-passwords.ts';
import { applicationTable } from './table/applications.ts';
import { auditTable } from './table/audit.ts';
import { grantTable } from './table/grants.ts';
import { leaseTable } from './table/leases.ts';
import { mailboxTable } from './table/mailboxes.ts';
import { noticeTable } from './table/notices.ts';
import { outboxTable } from './table/outbox.ts';
import { settingTable } from './table/settings.ts';
import { spaceTable } from './table/space.ts';
import { suppressionTable } from './table/suppressions.ts';
import { templateTable } from './table/templates.ts';
import { uploadTable } from './table/uploads.ts';
import { webhookTable } from './table/webhooks.ts';
import type { Store } from './types.ts';

export type Tables = Omit<Store, 'engine' | 'watch' | 'close' | 'ping'>;

export function tablesOn(engine: Engine): Tables {
  return {
    applications: applicationTable(engine),
    grants: grantTable(engine),
    mailboxes: mailboxTable(engine),
    appPasswords: appPasswordTable(engine),
    audit: auditTable(engine),
    leases: leaseTable(engine),
    settings: settingTable(engine),
    space: spaceTable(engine),
    notices: noticeTable(engine),
    apiKeys: apiKeyTable(engine),
    templates: templateTable(engine),
    suppressions: suppressionTable(engine),
    webhooks: webhookTable(engine),
    uploads: uploadTable(engine),
    outbox: outboxTable(engine),
  };
}

/** Answers when the database does. */
export async function pingOn(engine: Engine): Promise<void> {
  await engine.read((db) => sql`SELECT 1`.execute(db));
}

/** Methods that never write. Whatever is not named here is taken to write, so that a forgotten one is slow and not wrong. */
export const READS: { readonly [T in keyof Tables]: readonly (keyof Tables[T])[] } = {
  applications: ['find', 'byName', 'list'],
  grants: ['find', 'list', 'nextDue', 'overview'],
  mailboxes: ['find', 'byGrant', 'list', 'opened'],
  appPasswords: ['find', 'byHash', 'list'],
  // `along` writes nothing itself: what is called within it does, and is told so.
  audit: ['read', 'latest', 'head', 'along'],
  leases: [],
  settings: ['get'],
  space: ['state', 'damage'],
  notices: ['open'],
  apiKeys: ['find', 'byHash', 'list'],
  templates: ['find', 'list', 'versions'],
  suppressions: ['match', 'list'],
  webhooks: ['find', 'list', 'due', 'ahead', 'findDelivery', 'deliveries'],
  uploads: ['find', 'held'],
  outbox: [
    'chunk',
    'find',
    'knows',
    'list',
    'dueMailboxes',
    'nextDue',
    'entry',
    'events',
    'lastEvent',
    'stats',
    'ahead',
  ],
};
