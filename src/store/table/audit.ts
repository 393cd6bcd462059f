import { type Kysely, sql } from 'kysely';
import { along } from '../along.ts';
import { appendRecords, lockHead, setHead } from '../audit-append.ts';
import { headState } from '../audit-head.ts';
import type { Engine } from '../engine.ts';
import { hashOf } from '../chain.ts';
import { storeError } from '../errors.ts';
import { AUDIT_HEAD, AUDIT_START, auditFact } from '../migrations.ts';
import type { AuditRow, Schema } from '../schema.ts';
import type { AuditHead, AuditRecord, AuditTable, ChainLink, NewAuditRecord } from '../types.ts';
import { isAnythingBefore } from './audit-foreign.ts';
import { fromJson } from './json.ts';

export function auditTable(engine: Engine): AuditTable {
  const { read, write } = engine;
  return {
    append: (entries, key) =>
      write(undefined, async (trx) => ({
        result: await appendRecords(engine.name, trx, entries, key),
        changed: false,
      })),
    along: (entries, key, work) => along.run({ entries, key, recorded: false }, work),
    tryOut: (at, key) =>
      write<void>(undefined, async (trx) => {
        await appendRecords(engine.name, trx, [{ ...TRIAL, at }], key);
        throw TRIED;
      }).catch((error: unknown) => {
        if (error !== TRIED) throw error;
      }),
    forget: (before, limit, key) =>
      write(undefined, async (trx) => {
        const head = await lockHead(engine.name, trx);
        const nothing = (intact: boolean) => ({ result: { forgotten: 0, intact }, changed: false });
        const state = headState(head, key);
        if (state !== 'signed') return nothing(state !== 'forged');
        const from = head.anchor ?? AUDIT_START;
        const page = await after(trx, from.seq, limit);
        const young = page.findIndex(({ at, seq }) => at >= before || seq > head.seq);
        const old = young === -1 ? page : page.slice(0, young);
        const anchor = old.at(-1);
        if (!anchor) return nothing(true);
        // What does not hold is evidence, however old it is.
        if (head.broken || !follows(from, old) || (await isAnythingBefore(trx, from))) return nothing(false);
        await trx.deleteFrom('audit').where('seq', '<=', anchor.seq).execute();
        await setHead(trx, { ...head, anchor: { seq: anchor.seq, hash: anchor.hash } }, key);
        return { result: { forgotten: old.length, intact: true }, changed: false };
      }),
    read: (seq, limit) => read((db) => after(db, seq, limit)),
    latest: ({ types, ...filter }) =>
      read(async (db) => {
        // One walk along the index for each: together they are as short as what was asked for.
        const each = types?.map((type) => ({ ...filter, type })) ?? [filter];
        const found: AuditRecord[] = [];
        for (const one of each) found.push(...(await newest(engine, db, one)));
        return found.sort((a, b) => b.seq - a.seq).slice(0, filter.limit);
      }),
    head: () =>
      read(async (db) => {
        const row = await db.selectFrom('settings').select('value').where('name', '=', AUDIT_HEAD).executeTakeFirst();
        return row && fromJson<AuditHead>(row.value, 'settings.audit.head');
      }),
  };
}

/** Never stays: its transaction is rolled back, by throwing this. */
const TRIED = storeError('store.conflict', 'a trial of the audit log was rolled back');
const TRIAL: Omit<NewAuditRecord, 'at'> = {
  type: 'audit.trial',
  outcome: 'ok',
  sessionId: undefined,
  mailbox: undefined,
  data: {},
};

async function after(db: Kysely<Schema>, seq: number, limit: number): Promise<AuditRecord[]> {
  const rows = await db.selectFrom('audit').selectAll().where('seq', '>', seq).orderBy('seq').limit(limit).execute();
  return rows.map(record);
}

async function newest(
  engine: Engine,
  db: Kysely<Schema>,
  filter: Omit<Parameters<AuditTable['latest']>[0], 'types'>,
): Promise<AuditRecord[]> {
  const { since, until, appPasswordId, remoteAddress } = filter;
  let query = db.selectFrom('audit').selectAll().limit(filter.limit);
  // By time a span is one walk along its index; by number it would be a walk through everything younger.
  query = (since === undefined && until === undefined ? query : query.orderBy('at', 'desc')).orderBy('seq', 'desc');
  if (since !== undefined) query = query.where('at', '>=', since);
  if (until !== undefined) query = query.where('at', '<', until);
  if (appPasswordId !== undefined) query = query.where(fact(engine, 'appPasswordId'), '=', appPasswordId);
  if (remoteAddress !== undefined) query = query.where(fact(engine, 'remoteAddress'), '=', remoteAddress);
  if (filter.type !== undefined) query = query.where('type', '=', filter.type);
  if (filter.mailbox !== undefined) query = query.where('mailbox', '=', filter.mailbox);
  if (filter.sessionId !== undefined) query = query.where('session_id', '=', filter.sessionId);
  if (filter.before !== undefined) query = query.where('seq', '<', filter.before);
  return (await query.execute()).map(record);
}

/** A fact of a record, spelled as the index over it is. */
function fact({ name: engine }: Engine, name: 'appPasswordId' | 'remoteAddress') {
  return sql<string | null>`${sql.raw(auditFact(engine, name))}`;
}

/** Whether these records are the next ones after a link, each unaltered. */
function follows(from: ChainLink, records: readonly AuditRecord[]): boolean {
  let { seq, hash } = from;
  for (const record of records) {
    if (record.seq !== seq + 1 || record.previous !== hash || hashOf(record) !== record.hash) return false;
    ({ seq, hash } = record);
  }
  return true;
}

function record(row: AuditRow): AuditRecord {
  return {
    seq: row.seq,
    at: row.at,
    type: row.type,
    outcome: row.outcome,
    sessionId: row.session_id ?? undefined,
    mailbox: row.mailbox ?? undefined,
    data: fromJson(row.data, 'audit.data'),
    previous: row.previous,
    hash: row.hash,
  };
}
