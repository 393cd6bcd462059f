/** How records of the audit chain hang together: one way to write a record, and one hash for it. */
import { hash } from 'node:crypto';
import type { AuditRecord } from './types.ts';

/** JSON with sorted keys and no white space; the same text for the same facts, before and after a trip to the database. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = value as Readonly<Record<string, unknown>>;
    let text = '';
    for (const key of Object.keys(fields).sort()) {
      if (fields[key] !== undefined) text += `${text && ','}${JSON.stringify(key)}:${canonical(fields[key])}`;
    }
    return `{${text}}`;
  }
  return JSON.stringify(value);
}

/** SHA-256, hex, over the previous record's hash and the canonical JSON of everything else. */
export function hashOf(record: Omit<AuditRecord, 'hash'>): string {
  const { seq, at, type, outcome, sessionId, mailbox, data } = record;
  const rest = canonical({ seq, at, type, outcome, sessionId, mailbox, data });
  return hash('sha256', `${record.previous}\n${rest}`);
}
