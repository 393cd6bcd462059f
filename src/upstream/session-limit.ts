/** A provider that opens no more sessions of a mailbox: how many it allows, and which programs hold those that are open here. */
import { catalogue } from '../oauth/catalogue/catalogue.ts';

/** Its rows say "too many" outright; Exchange's words can also mean that a permission is missing. */
const TOO_MANY = 'imap.too-many-sessions';
const MAYBE = 'imap.not-connected';
/**
 * From this part of the limit on the sessions are the likelier cause of what can mean both: other processes of ours and programs
 * elsewhere may hold as many again, and whoever holds some is permitted to.
 */
const LIKELY_PART = 4;
/** Labels in one line; the log has the rest. */
const MAX_NAMED = 5;

/**
 * @param diagnosis the catalogue's row for the refusal
 * @param holders labels of the app passwords of open sessions, one for each
 * @returns what to say; undefined when the sessions are not the cause
 */
export function tooManySessions(
  diagnosis: string,
  address: string,
  holders: readonly string[],
): { readonly diagnosis: string; readonly text: string; readonly hint: string } | undefined {
  const limit = limitOf('exchange-imap-sessions');
  const maybe = diagnosis === MAYBE && limit !== undefined && holders.length * LIKELY_PART >= limit;
  if (diagnosis !== TOO_MANY && !maybe) return undefined;
  const allowed = maybe ? ` (some ${limit})` : '';
  return {
    diagnosis: TOO_MANY,
    text: `${address} has as many IMAP sessions open as the provider allows${allowed}; ${held(holders)}`,
    hint: 'the app password is right; it passes when one of these sessions ends: close programs, or let them use fewer connections',
  };
}

function limitOf(id: string): number | undefined {
  return catalogue().limits.find((row) => row.id === id)?.value;
}

function held(holders: readonly string[]): string {
  if (holders.length === 0) return 'none of them is held by this gateway process';
  const counts = new Map<string, number>();
  for (const label of holders) counts.set(label, (counts.get(label) ?? 0) + 1);
  const named = [...counts].sort(([, a], [, b]) => b - a);
  const shown = named.slice(0, MAX_NAMED).map(([label, count]) => `${label} (${count})`);
  if (named.length > MAX_NAMED) shown.push('others');
  return `${holders.length} are held here, by ${shown.join(', ')}`;
}
