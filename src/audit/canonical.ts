/** One way to write a record, and one hash for it. */
import { createHash } from 'node:crypto';
import { scrub } from '../base/secret.ts';
import type { AuditRecord } from '../store/types.ts';

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
  return createHash('sha256').update(record.previous).update('\n').update(rest).digest('hex');
}

/**
 * Facts as they may be kept: secrets masked, texts bounded and free of what a database would change (NUL, halves of
 * surrogate pairs), and nothing JSON does not know. Without this a record could hash differently when read back.
 */
export function clean(value: unknown, depth = 0): unknown {
  switch (typeof value) {
    case 'string':
      return cleanText(value);
    case 'number':
      return Number.isFinite(value) ? value : null;
    case 'boolean':
      return value;
    case 'bigint':
      return value.toString();
    case 'object':
      break;
    default:
      return undefined;
  }
  if (value === null) return null;
  if (depth >= MOST_DEPTH) return '[too deep]';
  if (Array.isArray(value)) return value.slice(0, MOST_ENTRIES).map((entry) => clean(entry, depth + 1) ?? null);
  if ('toJSON' in value && typeof value.toJSON === 'function') return clean(value.toJSON(), depth + 1);
  const kept: Record<string, unknown> = {};
  for (const [key, entry] of Object.entries(value).slice(0, MOST_ENTRIES)) {
    const cleaned = clean(entry, depth + 1);
    if (cleaned !== undefined) kept[cleanText(key)] = cleaned;
  }
  return kept;
}

export function cleanText(text: string): string {
  const bounded = text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}…` : text;
  return scrub(bounded).toWellFormed().replaceAll('\0', '\uFFFD');
}

/** Bounds on one record, so that a stranger's sign-in attempts cannot fill the disk. A provider's answer fits. */
const MOST_TEXT = 1_024;
const MOST_ENTRIES = 64;
const MOST_DEPTH = 5;
