import { type Kysely, sql, type Transaction } from 'kysely';
import { headState, withMac } from '../audit-head.ts';
import type { Engine } from '../engine.ts';
import { hashOf } from '../chain.ts';
import { storeError } from '../errors.ts';
import { AUDIT_HEAD, AUDIT_START, auditFact } from '../migrations.ts';
import type { AuditRow, Schema } from '../schema.ts';
import type { AuditHead, AuditKey, AuditRecord, AuditTable, ChainLink, NewAuditRecord } from '../types.ts';
import { fromJson } from './json.ts';

export function auditTable(engine: Engine): AuditTable {
  const { read, write } = engine;
  return {
    append: (entries, key) =>
      write(undefined, async (trx) => {
        const [first] = entries;
        if (!first) return { result: undefined, changed: false };
        const head = await lockHead(engine, trx);
        const { says, ...kept } = judged(head, key);
        const rows = chained(head, says === undefined ? entries : [{ ...says, at: first.at }, ...entries]);
        for (let from = 0; from < rows.length; from += ROWS) {
          await trx
            .insertInto('audit')
            .values(rows.slice(from, from + ROWS))
            .execute();
        }
        const { seq, hash } = rows.at(-1)!;
        await setHead(trx, { seq, hash, ...kept }, key);
        return { result: undefined, changed: false };
      }),
    forget: (before, limit, key) =>
      write(undefined, async (trx) => {
        const head = await lockHead(engine, trx);
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
        if (head.broken || !follows(from, old)) return nothing(false);
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

type Says = Omit<NewAuditRecord, 'at'>;

/** What goes on from this head: its facts, and a record about a signature that was not there or not right. */
function judged(
  head: AuditHead,
  key: AuditKey | undefined,
): Pick<AuditHead, 'anchor' | 'broken'> & { readonly says: Says | undefined } {
  const kept = { ...(head.anchor && { anchor: head.anchor }), ...(head.broken && { broken: head.broken }) };
  const state = key === undefined ? 'signed' : headState(head, key);
  if (state === 'signed' || state === 'new') return { ...kept, says: undefined };
  const data = { records: head.seq, head: head.hash };
  if (state === 'unsigned') return { ...kept, says: says('audit.signed', 'ok', data) };
  const broken = kept.broken ?? { seq: head.seq, reason: 'the head was changed by something that is not Postern' };
  return { ...kept, broken, says: says('audit.broken', 'failed', { ...data, reason: broken.reason }) };
}

function says(type: string, outcome: 'ok' | 'failed', data: Says['data']): Says {
  return { type, outcome, sessionId: undefined, mailbox: undefined, data };
}

function chained(head: ChainLink, entries: readonly NewAuditRecord[]): AuditRow[] {
  let { seq, hash } = head;
  return entries.map((entry): AuditRow => {
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

async function setHead(trx: Transaction<Schema>, head: AuditHead, key: AuditKey | undefined): Promise<void> {
  const { mac: _, ...facts } = head;
  const value = JSON.stringify(key === undefined ? facts : withMac(facts, key));
  await trx.updateTable('settings').set({ value }).where('name', '=', AUDIT_HEAD).execute();
}

/** Rows per statement: few statements, and far below the 32,766 parameters SQLite allows and PostgreSQL's 65,535. */
const ROWS = 100;

/** The chain's end, locked: one appender at a time across all processes. SQLite's transaction already holds the one lock. */
async function lockHead(engine: Engine, trx: Transaction<Schema>): Promise<AuditHead> {
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
