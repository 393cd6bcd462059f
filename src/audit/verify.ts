/** Reading the chain from its first record to its last. */
import { collectYoung } from '../base/collection.ts';
import { headState } from '../store/audit-head.ts';
import { AUDIT_START } from '../store/migrations.ts';
import { foreignText } from '../store/table/audit-foreign.ts';
import type { AuditHead, AuditKey, AuditRecord, AuditTable, ChainLink } from '../store/types.ts';
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

export type Broken = Extract<ChainState, { type: 'broken' }>;

function broken(seq: number, reason: string): Broken {
  return { type: 'broken', seq, reason };
}

/**
 * Checks every record in constant memory: altered, missing, reordered, and cut off at the end by the head kept apart, which the
 * key signs: so neither a cut with a head to match nor a chain written again passes.
 * What it cannot see is an old head put back together with the records of its time, and whether `unsigned` is an earlier
 * version's or a signature taken away where nothing remembers it; keep exports elsewhere.
 * @param key as given to {@link AuditTable.append}
 */
export async function verifyChain(table: Pick<AuditTable, 'head' | 'read'>, key?: AuditKey): Promise<ChainState> {
  // Read first: what is appended while we read lies beyond it, up to the head of then.
  let head = await table.head();
  const unsound = unsoundEnd(head, key);
  if (unsound || !head) return unsound ?? NO_HEAD;
  const state = key === undefined ? 'unknown' : headState(head, key);
  const anchor: ChainLink = head.anchor ?? AUDIT_START;
  const [before] = await table.read(Number.MIN_SAFE_INTEGER, 1);
  if (before && before.seq <= anchor.seq) return broken(before.seq, foreignText(before.seq, before.seq));
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
    if (page.length < PAGE) {
      if (seq <= head.seq) break;
      if (atHead !== head.hash) return broken(head.seq, NOT_THE_HEAD);
      // Written while we read, together with a head that is there now; or by somebody who cannot sign one.
      const now = await table.head();
      const unsoundNow = unsoundEnd(now, key);
      if (unsoundNow || !now) return unsoundNow ?? NO_HEAD;
      if (now.seq < seq) return broken(now.seq + 1, foreignText(now.seq + 1, seq));
      head = now;
      if (seq === head.seq) atHead = hash;
    }
    // A million records are some gigabytes of short-lived objects; V8 by itself would take hundreds of megabytes for them.
    if (seq % COLLECT_EVERY < PAGE) collectYoung();
  }
  if (seq < head.seq) return broken(seq + 1, `records ${seq + 1} to ${head.seq} were cut off the end`);
  if (atHead !== head.hash) return broken(head.seq, NOT_THE_HEAD);
  const records = seq - anchor.seq;
  const signature =
    state === 'signed'
      ? { type: 'signed' as const, ...(signed ? { since: signed } : {}) }
      : { type: state === 'unsigned' ? ('unsigned' as const) : ('unknown' as const) };
  return { type: 'intact', records, head: hash, first, signature };
}

/**
 * What the end by itself shows, without reading the chain; undefined when nothing is wrong with it.
 * @param key as given to {@link AuditTable.append}
 */
export async function brokenEnd(table: Pick<AuditTable, 'head' | 'read'>, key: AuditKey): Promise<Broken | undefined> {
  const head = await table.head();
  const unsound = unsoundEnd(head, key);
  if (unsound || !head) return unsound ?? NO_HEAD;
  const [behind] = await table.read(head.seq, 1);
  const now = behind && (await table.head());
  return now && now.seq < behind.seq ? broken(behind.seq, foreignText(behind.seq, behind.seq)) : undefined;
}

/** Whether something else than Postern wrote this record, by its place alone: outside of what the head spans, or marked in it. */
export function isForeign({ seq }: Pick<AuditRecord, 'seq'>, head: AuditHead | undefined): boolean {
  if (!head) return false;
  const { anchor = AUDIT_START, broken: found } = head;
  return seq > head.seq || seq <= anchor.seq || (found?.last !== undefined && seq >= found.seq && seq <= found.last);
}

function unsoundEnd(head: AuditHead | undefined, key: AuditKey | undefined): Broken | undefined {
  if (!head) return NO_HEAD;
  if (key !== undefined && headState(head, key) === 'forged')
    return broken(head.seq, 'the head was changed by something that is not Postern');
  return head.broken && broken(head.broken.seq, head.broken.reason);
}

const NO_HEAD = broken(0, 'the head of the chain is missing from the settings');
const NOT_THE_HEAD = 'it is not the record the head names';
const PAGE = 500;
const COLLECT_EVERY = 2_000;
