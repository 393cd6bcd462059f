/** Reading the chain from its first record to its last. */
import { AUDIT_START } from '../store/migrations.ts';
import type { AuditTable } from '../store/types.ts';
import { hashOf } from '../store/chain.ts';

export type ChainState =
  | { readonly type: 'intact'; readonly records: number; readonly head: string }
  /** `seq`: the first record at which the chain does not hold. */
  | { readonly type: 'broken'; readonly seq: number; readonly reason: string };

/**
 * Checks every record in constant memory: altered, missing, reordered, and cut off at the end (by the head kept apart).
 * What it cannot see is a chain rewritten whole, head included, by somebody who owns the database; keep exports elsewhere.
 */
export async function verifyChain(table: AuditTable): Promise<ChainState> {
  // Read first: what is appended while we read only lies beyond it.
  const head = await table.head();
  if (!head) return { type: 'broken', seq: 0, reason: 'the head of the chain is missing from the settings' };
  let { seq, hash } = AUDIT_START;
  let atHead = head.seq === 0 ? hash : undefined;
  for (;;) {
    const page = await table.read(seq, PAGE);
    for (const record of page) {
      if (record.seq !== seq + 1) {
        const missing =
          record.seq === seq + 2 ? 'the record is missing' : `records ${seq + 1} to ${record.seq - 1} are missing`;
        return { type: 'broken', seq: seq + 1, reason: missing };
      }
      if (record.previous !== hash) {
        return { type: 'broken', seq: record.seq, reason: 'it does not follow the record before it' };
      }
      if (hashOf(record) !== record.hash) return { type: 'broken', seq: record.seq, reason: 'it was altered' };
      ({ seq, hash } = record);
      if (seq === head.seq) atHead = hash;
    }
    if (page.length === 0) break;
  }
  if (seq < head.seq)
    return { type: 'broken', seq: seq + 1, reason: `records ${seq + 1} to ${head.seq} were cut off the end` };
  if (atHead !== head.hash) return { type: 'broken', seq: head.seq, reason: 'it is not the record the head names' };
  return { type: 'intact', records: seq, head: hash };
}

const PAGE = 1_000;
