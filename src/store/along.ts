/** Records of the audit log that belong to a change: one transaction with it, so that neither is ever there without the other. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { AuditKey, NewAuditRecord } from './types.ts';

export interface Along {
  readonly entries: readonly NewAuditRecord[];
  readonly key: AuditKey | undefined;
  /** Written, with the first transaction that changed something. */
  recorded: boolean;
}

/** What the next transaction begun here takes along. */
export const along = new AsyncLocalStorage<Along>();
