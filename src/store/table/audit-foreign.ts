/** Records of the audit log that Postern did not write: it writes records and the signed head in one transaction. */
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Schema } from '../schema.ts';
import type { AuditHead, ChainLink } from '../types.ts';

/** What somebody else wrote behind the end. */
export interface Foreign {
  readonly first: number;
  readonly records: number;
  /** The last of them, after which the chain goes on: they stay as they are. */
  readonly end: ChainLink;
}

export async function foreignRecords(trx: Transaction<Schema>, head: AuditHead): Promise<Foreign | undefined> {
  const records = await count(trx, '>', head.seq);
  if (records === 0) return undefined;
  // Nothing could be numbered after them, and JavaScript cannot even read some of these numbers.
  await trx.deleteFrom('audit').where('seq', '>', MAX_SEQ).execute();
  const last = await trx
    .selectFrom('audit')
    .select(['seq', 'hash'])
    .where('seq', '>', head.seq)
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  return { first: head.seq + 1, records, end: last ?? head };
}

/** Whether there are records in front of the first one, where old ones have been removed. */
export async function isAnythingBefore(db: Kysely<Schema>, anchor: ChainLink): Promise<boolean> {
  return (await count(db, '<=', anchor.seq)) > 0;
}

/** @returns what `postern audit verify` says of it */
export function foreignText(first: number, last: number): string {
  if (last < first) return `records behind record ${last} were written by something that is not Postern`;
  const which = last > first ? `records ${first} to ${last} were` : `record ${first} was`;
  return `${which} written by something that is not Postern`;
}

/** A billion records a second for three weeks stay below it. */
const MAX_SEQ = 2 ** 51;

async function count(db: Kysely<Schema>, sign: '>' | '<=', seq: number): Promise<number> {
  const row = await db
    .selectFrom('audit')
    .select(sql<number>`count(*)`.as('records'))
    .where('seq', sign, seq)
    .executeTakeFirst();
  return row?.records ?? 0;
}
