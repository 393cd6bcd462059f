/** Appending to the audit chain inside a transaction that may have changed something else before. */
import type { Transaction } from 'kysely';
import { headState, withMac } from './audit-head.ts';
import { hashOf } from './chain.ts';
import { storeError } from './errors.ts';
import { storeFailure } from './failure.ts';
import { AUDIT_HEAD } from './migrations.ts';
import type { AuditRow, Schema } from './schema.ts';
import { type Foreign, foreignRecords, foreignText } from './table/audit-foreign.ts';
import { fromJson } from './table/json.ts';
import type { AuditHead, AuditKey, ChainLink, NewAuditRecord } from './types.ts';

type EngineName = 'sqlite' | 'postgres';

/** As `AuditTable.append`. @throws store.unavailable also where the database takes everything else */
export async function appendRecords(
  engine: EngineName,
  trx: Transaction<Schema>,
  entries: readonly NewAuditRecord[],
  key: AuditKey | undefined,
): Promise<AuditHead['broken']> {
  const [first] = entries;
  if (!first) return undefined;
  const head = await lockHead(engine, trx);
  const foreign = await foreignRecords(trx, head);
  const { says, ...kept } = judged(head, key, foreign);
  const rows = chained(foreign?.end ?? head, [...says.map((one) => ({ ...one, at: first.at })), ...entries]);
  for (let from = 0; from < rows.length; from += ROWS) {
    await trx
      .insertInto('audit')
      .values(rows.slice(from, from + ROWS))
      .execute()
      .catch((error: unknown) => {
        const failure = storeFailure(error);
        // No name is taken here: something in the database itself stands against it.
        throw failure.code === 'store.conflict'
          ? storeError('store.unavailable', `the database takes no audit record: ${causeOf(failure)}`, { cause: error })
          : error;
      });
  }
  const { seq, hash } = rows.at(-1)!;
  await setHead(trx, { seq, hash, ...kept }, key);
  return kept.broken;
}

function causeOf({ cause, message }: Error): string {
  return cause instanceof Error ? cause.message : message;
}

type Says = Omit<NewAuditRecord, 'at'>;

/** What goes on from this head: its facts, and records about what was not there, not right or too much. */
function judged(
  head: AuditHead,
  key: AuditKey | undefined,
  foreign: Foreign | undefined,
): Pick<AuditHead, 'anchor' | 'broken'> & { readonly says: readonly Says[] } {
  const anchor = head.anchor && { anchor: head.anchor };
  const data = { records: head.seq, head: head.hash };
  const state = key === undefined ? 'signed' : headState(head, key);
  const all: Says[] = state === 'unsigned' ? [says('audit.signed', 'ok', data)] : [];
  let { broken } = head;
  if (state === 'forged') {
    broken ??= { seq: head.seq, reason: 'the head was changed by something that is not Postern' };
    all.push(says('audit.broken', 'failed', { ...data, reason: broken.reason }));
  }
  if (foreign) {
    const { first, records, end } = foreign;
    const reason = foreignText(first, end.seq);
    const found = { seq: first, reason, ...(end.seq >= first && { last: end.seq }) };
    broken ??= found;
    all.push(says('audit.broken', 'failed', { ...data, found: records, first, last: end.seq, reason }));
  }
  return { ...anchor, ...(broken && { broken }), says: all };
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

export async function setHead(trx: Transaction<Schema>, head: AuditHead, key: AuditKey | undefined): Promise<void> {
  const { mac: _, ...facts } = head;
  const value = JSON.stringify(key === undefined ? facts : withMac(facts, key));
  await trx.updateTable('settings').set({ value }).where('name', '=', AUDIT_HEAD).execute();
}

/** Rows per statement: few statements, and far below the 32,766 parameters SQLite allows and PostgreSQL's 65,535. */
const ROWS = 100;

/** The chain's end, locked: one appender at a time across all processes. SQLite's transaction already holds the one lock. */
export async function lockHead(engine: EngineName, trx: Transaction<Schema>): Promise<AuditHead> {
  const query = trx.selectFrom('settings').select('value').where('name', '=', AUDIT_HEAD);
  const row = await (engine === 'postgres' ? query.forUpdate() : query).executeTakeFirst();
  if (!row) throw storeError('store.damaged', 'the end of the audit chain is missing from the settings');
  return fromJson(row.value, 'settings.audit.head');
}
