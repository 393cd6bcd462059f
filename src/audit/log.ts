/** Writing the audit chain: in order, in batches, never silently losing anything. */
import { backoffMs } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { asError, type PosternError } from '../base/error.ts';
import { type Log, nullLog } from '../base/log.ts';
import type { AuditKey, AuditTable } from '../store/types.ts';
import { isNaming } from '../base/secret.ts';
import { clean, cleanName, cleanText } from './clean.ts';
import type { Audit, AuditEntry } from './types.ts';

export interface AuditOptions {
  readonly log?: Log;
  /** Signs the end of the chain: {@link auditKey}. */
  readonly key?: AuditKey;
}

export interface AuditLog extends Audit {
  /** What is wrong with the log itself, in plain words for whoever watches the server. */
  trouble(): string | undefined;
  close(): Promise<void>;
}

/**
 * Opens the log on its table. `close` writes what waits and throws what {@link Audit.flush} would; a close that failed may
 * be tried again.
 */
export function openAudit(
  table: Pick<AuditTable, 'append' | 'along' | 'tryOut'>,
  clock: Clock,
  options: AuditOptions = {},
): AuditLog {
  const log = options.log ?? nullLog;
  let waiting: Waiting[] = [];
  let timer: Timer | undefined;
  let writing: Promise<void> | undefined;
  let lost = 0;
  let failures = 0;
  let failure: PosternError | undefined;
  let broken: string | undefined;

  const add = (entry: AuditEntry, settle?: Settle): void => {
    if (settle === undefined && waiting.length >= MAX_WAITING) lost++;
    else waiting.push({ row: rowOf(entry, clock.now()), settle });
  };

  /** Writes until nothing waits. Rejects at the first failed batch, whose notes wait on. */
  const drain = async (): Promise<void> => {
    while (waiting.length > 0 || lost > 0) {
      const batch = waiting.slice(0, BATCH);
      waiting = waiting.slice(BATCH);
      const told = lost;
      const rows = batch.map((entry) => entry.row);
      if (told > 0) rows.push(rowOf({ type: 'audit.lost', outcome: 'failed', data: { lost: told } }, clock.now()));
      try {
        const found = await table.append(rows, options.key);
        if (found && broken === undefined) log.error({ seq: found.seq }, brokenText(found.reason));
        broken = found?.reason;
      } catch (error) {
        // Whoever waits for a record is told now, wherever in the queue it stands; notes wait for better times, in order.
        const records = [...batch, ...waiting].filter((entry) => entry.settle !== undefined);
        waiting = [...batch, ...waiting].filter((entry) => entry.settle === undefined);
        for (const entry of records) entry.settle?.reject(error);
        failures++;
        failure = asError(error);
        log.error({ err: failure, waiting: waiting.length, lost }, 'the audit log could not be written');
        throw error;
      }
      lost -= told;
      failures = 0;
      failure = undefined;
      for (const entry of batch) entry.settle?.resolve();
    }
  };

  const write = (): Promise<void> => {
    timer?.cancel();
    timer = undefined;
    writing ??= drain().finally(() => {
      writing = undefined;
      // Somebody waits for a record that came at the very end of this write; a failed try refuses it, so this ends.
      if (waiting.some((entry) => entry.settle !== undefined)) flushInBackground();
      else if (waiting.length > 0 || lost > 0) arm(failures > 0 ? backoffMs(failures - 1, RETRY) : BATCH_MS);
    });
    return writing;
  };

  /** Until nothing waits: what is noted at the very end of a write is left for the next. */
  const flush = async (): Promise<void> => {
    const left = (): boolean => waiting.length > 0 || lost > 0;
    do await write();
    while (left());
  };

  const flushInBackground = (): void => {
    // The failure has been logged and raised in `drain`; the notes wait and the next try is armed.
    write().catch((error: unknown) => log.debug({ err: asError(error) }, 'the audit log will be written later'));
  };

  const arm = (ms: number): void => {
    timer ??= clock.after(ms, () => {
      timer = undefined;
      flushInBackground();
    });
  };

  return {
    record(entry) {
      return new Promise<void>((resolve, reject) => {
        add(entry, { resolve, reject });
        flushInBackground();
      });
    },
    async along(entry, work) {
      // What was noted before stands before it.
      await flush();
      return table.along([rowOf(entry, clock.now())], options.key, work);
    },
    async ready() {
      await flush();
      await table.tryOut(clock.now(), options.key);
    },
    note(entry) {
      add(entry);
      if (waiting.length >= BATCH && failures === 0) flushInBackground();
      else if (writing === undefined) arm(BATCH_MS);
    },
    flush,
    trouble() {
      if (failure)
        return `the audit log cannot be written (${failure.message}): ${waiting.length} records wait for it, ${lost} were lost; mail goes on, changes by commands and the API are refused`;
      return broken === undefined ? undefined : brokenText(broken);
    },
    close: flush,
  };
}

/**
 * The key that signs the end of the chain: it is not in the database, and stays when the vault gets another master key.
 * @param signed the end was seen signed before: one without a signature is not an old version's
 */
export async function auditKey(
  vault: { derive(purpose: string): Promise<Uint8Array> },
  signed: boolean,
): Promise<AuditKey> {
  return { key: await vault.derive('audit-head'), signed };
}

interface Settle {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Waiting {
  readonly row: Row;
  readonly settle: Settle | undefined;
}

type Row = Parameters<AuditTable['append']>[0][number];

function brokenText(reason: string): string {
  return `the audit log was changed by something that is not Postern: ${reason}. See: postern audit verify`;
}

/** The promise of {@link Audit.note}: at most this long until it is written. */
const BATCH_MS = 100;
/** Entries per transaction: a hundred microseconds of disk shared by many, and a lock held for milliseconds only. */
const BATCH = 500;
/** Notes kept while the database is away: some 10 MB, a quarter of an hour at ten sign-ins a second. */
const MAX_WAITING = 10_000;
const RETRY = { baseMs: 500, maxMs: 5_000 };

function rowOf(entry: AuditEntry, at: number): Row {
  return {
    at,
    type: entry.type,
    outcome: entry.outcome,
    sessionId: entry.sessionId === undefined ? undefined : cleanName(entry.sessionId),
    mailbox: entry.mailbox === undefined ? undefined : mailboxOf(entry.mailbox),
    data: clean(entry.data ?? {}) as Row['data'],
  };
}

/** As a program gave it: where it is no address, it may be a password in the wrong place. */
function mailboxOf(text: string): string {
  return isNaming('mailbox', text) ? cleanName(text) : cleanText(text);
}
