/** Reading the chain from its first record to its last. */
import { collectYoung } from '../base/collection.ts';
import { headState } from '../store/audit-head.ts';
import { AUDIT_START } from '../store/migrations.ts';
import type { AuditKey, AuditTable, ChainLink } from '../store/types.ts';
import { hashOf } from '../store/chain.ts';

export type ChainState =
  | {
      readonly type: 'intact';
      readonly records: number;
      readonly head: string;
      /** The first record that is there; older ones were removed because of their age. */
      readonly first: number;
      /**
       * `signed`: the head is one that this installation's key wrote; `since` the record before which it had no signature, and
       * from when. `unsigned`: written by a version that did not sign. `unknown`: no key was given.
       */
      readonly signature:
        | { readonly type: 'signed'; readonly since?: { readonly seq: number; readonly at: number } }
        | { readonly type: 'unsigned' }
        | { readonly type: 'unknown' };
    }
  /** `seq`: the first record at which the chain does not hold. */
  | { readonly type: 'broken'; readonly seq: number; readonly reason: string };

const broken = (seq: number, reason: string): ChainState => ({ type: 'broken', seq, reason });

/**
 * Checks every record in constant memory: altered, missing, reordered, and cut off at the end by the head kept apart, which the
 * key signs: so neither a cut with a head to match nor a chain written anew passes.
 * What it cannot see is an old head put back together with the records of its time, and whether `unsigned` is an earlier
 * version's or a signature taken away where nothing remembers it; keep exports elsewhere.
 * @param key as given to {@link AuditTable.append}
 */
export async function verifyChain(table: Pick<AuditTable, 'head' | 'read'>, key?: AuditKey): Promise<ChainState> {
  // Read first: what is appended while we read only lies beyond it.
  const head = await table.head();
  if (!head) return broken(0, 'the head of the chain is missing from the settings');
  const state = key === undefined ? 'unknown' : headState(head, key);
  if (state === 'forged') return broken(head.seq, 'the head was changed by something that is not Postern');
  if (head.broken) return broken(head.broken.seq, head.broken.reason);
  const anchor: ChainLink = head.anchor ?? AUDIT_START;
  const first = anchor.seq + 1;
  let { seq, hash } = anchor;
  let atHead = head.seq === seq ? hash : undefined;
  let signed: { readonly seq: number; readonly at: number } | undefined;
  for (;;) {
    const page = await table.read(seq, PAGE);
    for (const record of page) {
      if (record.seq !== seq + 1) {
        // Removed because of their age while we read?
        if (seq === anchor.seq && ((await table.head())?.anchor?.seq ?? 0) > seq) return verifyChain(table, key);
        const missing =
          record.seq === seq + 2 ? 'the record is missing' : `records ${seq + 1} to ${record.seq - 1} are missing`;
        return broken(seq + 1, missing);
      }
      if (record.previous !== hash) return broken(record.seq, 'it does not follow the record before it');
      if (hashOf(record) !== record.hash) return broken(record.seq, 'it was altered');
      if (record.type === 'audit.signed') {
        if (signed) return broken(record.seq, 'the signature of the head had been removed before it was written');
        signed = { seq: record.seq, at: record.at };
      }
      ({ seq, hash } = record);
      if (seq === head.seq) atHead = hash;
    }
    if (page.length < PAGE) break;
    // A million records are some gigabytes of short-lived objects; V8 by itself would take hundreds of megabytes for them.
    if (seq % COLLECT_EVERY < PAGE) collectYoung();
  }
  if (seq < head.seq) return broken(seq + 1, `records ${seq + 1} to ${head.seq} were cut off the end`);
  if (atHead !== head.hash) return broken(head.seq, 'it is not the record the head names');
  const records = seq - anchor.seq;
  const signature =
    state === 'signed'
      ? { type: 'signed' as const, ...(signed ? { since: signed } : {}) }
      : { type: state === 'unsigned' ? ('unsigned' as const) : ('unknown' as const) };
  return { type: 'intact', records, head: hash, first, signature };
}

const PAGE = 500;
const COLLECT_EVERY = 2_000;
