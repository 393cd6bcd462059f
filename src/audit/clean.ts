/** Facts as the audit log keeps them. */
import { scrub } from '../base/secret.ts';

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
  if (depth >= MAX_DEPTH) return '[too deep]';
  if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map((entry) => clean(entry, depth + 1) ?? null);
  if ('toJSON' in value && typeof value.toJSON === 'function') return clean(value.toJSON(), depth + 1);
  const kept: Record<string, unknown> = {};
  for (const [key, entry] of Object.entries(value).slice(0, MAX_ENTRIES)) {
    const cleaned = clean(entry, depth + 1);
    if (cleaned !== undefined) kept[cleanText(key)] = cleaned;
  }
  return kept;
}

export function cleanText(text: string): string {
  const bounded = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return scrub(bounded).toWellFormed().replaceAll('\0', '\uFFFD');
}

/** Bounds on one record, so that a stranger's sign-in attempts cannot fill the disk. A provider's answer fits. */
const MAX_TEXT = 1_024;
const MAX_ENTRIES = 64;
const MAX_DEPTH = 5;
