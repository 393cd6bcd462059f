import type { Transaction } from 'kysely';
import type { Engine } from '../engine.ts';
import { hashOf } from '../chain.ts';
import { storeError } from '../errors.ts';
import { AUDIT_HEAD } from '../migrations.ts';
import type { AuditRow, Schema } from '../schema.ts';
import type { AuditRecord, AuditTable } from '../types.ts';
import { fromJson } from './json.ts';

export function auditTable(engine: Engine): AuditTable {
  const { read, write } = engine;
  return {
    append: (entries) =>
      write(undefined, async (trx) => {
        if (entries.length === 0) return { result: undefined, changed: false };
        let { seq, hash } = await lockHead(engine, trx);
        const rows = entries.map((entry): AuditRow => {
          const record = { ...entry, seq: seq + 1, previous: hash };
          hash = hashOf(record);
          seq = record.seq;
          return {
            seq,
            at: record.at,
            type: record.type,
            outcome: record.outcome,
            session_id: record.sessionId ?? null,
            mailbox: record.mailbox ?? null,
            data: JSON.stringify(record.data),
            previous: record.previous,
            hash,
          };
        });
        for (let from = 0; from < rows.length; from += ROWS) {
          await trx
            .insertInto('audit')
            .values(rows.slice(from, from + ROWS))
            .execute();
        }
        await trx
          .updateTable('settings')
          .set({ value: JSON.stringify({ seq, hash }) })
          .where('name', '=', AUDIT_HEAD)
          .execute();
        return { result: undefined, changed: false };
      }),
    read: (after, limit) =>
      read(async (db) =>
        (await db.selectFrom('audit').selectAll().where('seq', '>', after).orderBy('seq').limit(limit).execute()).map(
          record,
        ),
      ),
    latest: (filter) =>
      read(async (db) => {
        let query = db.selectFrom('audit').selectAll().orderBy('seq', 'desc').limit(filter.limit);
        if (filter.type !== undefined) query = query.where('type', '=', filter.type);
        if (filter.mailbox !== undefined) query = query.where('mailbox', '=', filter.mailbox);
        if (filter.sessionId !== undefined) query = query.where('session_id', '=', filter.sessionId);
        return (await query.execute()).map(record);
      }),
    head: () =>
      read(async (db) => {
        const row = await db.selectFrom('settings').select('value').where('name', '=', AUDIT_HEAD).executeTakeFirst();
        return row && fromJson<{ seq: number; hash: string }>(row.value, 'settings.audit.head');
      }),
  };
}

/** Rows per statement: few statements, and far below the 32,766 parameters SQLite allows and PostgreSQL's 65,535. */
const ROWS = 100;

/** The chain's end, locked: one appender at a time across all processes. SQLite's transaction already holds the one lock. */
async function lockHead(engine: Engine, trx: Transaction<Schema>): Promise<{ seq: number; hash: string }> {
  const query = trx.selectFrom('settings').select('value').where('name', '=', AUDIT_HEAD);
  const row = await (engine.name === 'postgres' ? query.forUpdate() : query).executeTakeFirst();
  if (!row) throw storeError('store.damaged', 'the end of the audit chain is missing from the settings');
  return fromJson(row.value, 'settings.audit.head');
}

function record(row: AuditRow): AuditRecord {
  return {
    seq: row.seq,
    at: row.at,
    type: row.type,
    outcome: row.outcome as AuditRecord['outcome'],
    sessionId: row.session_id ?? undefined,
    mailbox: row.mailbox ?? undefined,
    data: fromJson(row.data, 'audit.data'),
    previous: row.previous,
    hash: row.hash,
  };
}
