/** The way in: one URL, one store, whichever database is behind it. */
import { sql } from 'kysely';
import { type Clock, systemClock } from '../base/clock.ts';
import { type Log, nullLog } from '../base/log.ts';
import { storeError } from './errors.ts';
import { openPostgres } from './postgres.ts';
import { openSqlite } from './sqlite.ts';
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
import { suppressionTable } from './table/suppressions.ts';
import { templateTable } from './table/templates.ts';
import { uploadTable } from './table/uploads.ts';
import { webhookTable } from './table/webhooks.ts';
import type { Store } from './types.ts';

/**
 * Opens `sqlite:/path/file.db`, `sqlite::memory:` or `postgres://user@host/name`, creating and upgrading tables as needed;
 * any number of processes may do so at once. @throws store.misconfigured, store.unavailable, store.newer, store.damaged
 */
export async function openStore(url: string, options: { clock?: Clock; log?: Log } = {}): Promise<Store> {
  const clock = options.clock ?? systemClock;
  const log = options.log ?? nullLog;
  const { engine, watchers, close } = await open(url, clock, log);
  return {
    engine: engine.name,
    applications: applicationTable(engine),
    grants: grantTable(engine),
    mailboxes: mailboxTable(engine),
    appPasswords: appPasswordTable(engine),
    audit: auditTable(engine),
    leases: leaseTable(engine),
    settings: settingTable(engine),
    notices: noticeTable(engine),
    apiKeys: apiKeyTable(engine),
    templates: templateTable(engine),
    suppressions: suppressionTable(engine),
    webhooks: webhookTable(engine),
    uploads: uploadTable(engine),
    outbox: outboxTable(engine),
    watch: (topic, changed) => watchers.add(topic, changed),
    async ping() {
      await engine.read((db) => sql`SELECT 1`.execute(db));
    },
    close,
  };
}

function open(url: string, clock: Clock, log: Log): ReturnType<typeof openSqlite> {
  if (url.startsWith('sqlite:')) return openSqlite(url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, ''), clock, log);
  if (/^postgres(ql)?:\/\//.test(url)) return openPostgres(url, clock, log);
  // What was given may hold a password, so only its beginning up to the first colon is shown.
  throw storeError('store.misconfigured', `no database of type "${url.split(':')[0]!.slice(0, 20)}" is known`);
}
