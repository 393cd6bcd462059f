/** Facts as the audit log keeps them. */
import { isNaming, scrub } from '../base/secret.ts';

/**
 * Facts as they may be kept: secrets masked in what may be quoted from somewhere, never in names, addresses and ids, texts bounded and free of what a database would change (NUL, halves of
 * surrogate pairs), and nothing JSON does not know. Without this a record could hash differently when read back.
 */
export function clean(value: unknown, depth = 0, name = ''): unknown {
  switch (typeof value) {
    case 'string':
      return isNaming(name, value) ? cleanName(value) : cleanText(value);
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
  if (Array.isArray(value)) {
    const kept = value.slice(0, MAX_ENTRIES).map((entry) => clean(entry, depth + 1, name) ?? null);
    return value.length > MAX_ENTRIES ? [...kept, more(value.length)] : kept;
  }
  if ('toJSON' in value && typeof value.toJSON === 'function') return clean(value.toJSON(), depth + 1, name);
  const kept: Record<string, unknown> = {};
  const entries = Object.entries(value);
  for (const [key, entry] of entries.slice(0, MAX_ENTRIES)) {
    const cleaned = clean(entry, depth + 1, key);
    if (cleaned !== undefined) kept[cleanName(key)] = cleaned;
  }
  if (entries.length > MAX_ENTRIES) kept['…'] = more(entries.length);
  return kept;
}

/** What a list that was cut ends with. */
function more(length: number): string {
  return `… and ${length - MAX_ENTRIES} more`;
}

/** An address or an id: what it names could not be found again if a part of it were masked. */
export function cleanName(text: string): string {
  return wellFormed(bounded(text));
}

export function cleanText(text: string): string {
  return wellFormed(scrub(bounded(text)));
}

function bounded(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

function wellFormed(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}

/** Bounds on one record, so that a stranger's sign-in attempts cannot fill the disk. A provider's answer fits. */
const MAX_TEXT = 1_024;
/** The recipients that `message.relayed` names at most. */
const MAX_ENTRIES = 100;
const MAX_DEPTH = 5;
