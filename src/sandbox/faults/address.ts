/** Magic addresses: an address that names a fault meets it, whoever asks. */
import { findFault, type FaultId } from './catalogue.ts';

export interface FaultAddress {
  readonly fault: FaultId;
  readonly value: number | undefined;
}

const known = new Map<string, FaultAddress | undefined>();
const MAX_KNOWN = 1000;

/**
 * The fault that an address means: `imap-throttled@…`, `alice+imap-throttled@…`, with a value `imap-throttled-5000@…`.
 * Undefined for an ordinary address, and for faults that no address can mean.
 */
export function faultOfAddress(address: string): FaultAddress | undefined {
  const local = address.slice(0, address.lastIndexOf('@')).toLowerCase();
  if (!/[a-z]-?[a-z0-9]/.test(local)) return undefined;
  if (known.has(local)) return known.get(local);
  const found = read(local.slice(local.indexOf('+') + 1));
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(local, found);
  return found;
}

function read(name: string): FaultAddress | undefined {
  const exact = findFault(name);
  const [, id = '', digits] = /^(.+)-(\d{1,9})$/.exec(name) ?? [];
  const fault = exact ?? findFault(id);
  if (!fault || fault.byAddress === false) return undefined;
  return { fault: fault.id, value: exact || digits === undefined ? undefined : Number(digits) };
}
