/**
 * Refusals as the audit log keeps them: the first of a client one by one, then how many more there were. Whoever has neither a
 * password nor a key can cause any number of them, and is not to fill the disk; log lines are not touched, so that what watches
 * those (fail2ban) sees each.
 */
import type { Audit, AuditEntry, AuditType } from '../audit/types.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { clientOf } from '../base/client-of.ts';

const COUNTED: ReadonlySet<AuditType> = new Set(['signin.local', 'api.refused']);
/** How long is counted before it is written down. */
const PERIOD_MS = 10 * 60_000;
/** In each period: refusals of one client that are kept whole, and of all. */
const MAX_PER_CLIENT = 10;
const MAX_WHOLE = 200;
/** Clients told of by their address; those beyond share one record. With the above some 30 MB a day at the most. */
const MAX_CLIENTS = 100;

interface Count {
  readonly type: AuditType;
  readonly remoteAddress: string | null;
  whole: number;
  more: number;
}

/** The audit log with its refusals bounded. `close` writes what was counted; close it before the log itself. */
export function withBoundedRefusals(audit: Audit, clock: Clock): Audit & { close(): void } {
  let counts = new Map<string, Count>();
  let whole = 0;
  let since = 0;
  let timer: Timer | undefined;
  const end = (): void => {
    timer?.cancel();
    timer = undefined;
    for (const { type, remoteAddress, more } of counts.values())
      if (more > 0)
        audit.note({
          type,
          outcome: 'failed',
          data: { remoteAddress, refusals: more, since: new Date(since).toISOString(), reason: 'repeated' },
        });
    counts = new Map();
    whole = 0;
  };
  const countOf = (type: AuditType, client: string): Count => {
    const key = `${type} ${client}`;
    const known = counts.get(key);
    if (known) return known;
    const others = counts.size >= MAX_CLIENTS;
    const name = others ? `${type} others` : key;
    const count = counts.get(name) ?? { type, remoteAddress: others ? null : client, whole: 0, more: 0 };
    counts.set(name, count);
    return count;
  };
  return {
    ...audit,
    note(entry: AuditEntry) {
      if (entry.outcome !== 'failed' || !COUNTED.has(entry.type)) return audit.note(entry);
      if (timer === undefined) {
        since = clock.now();
        timer = clock.after(PERIOD_MS, end);
      }
      const { remoteAddress } = entry.data ?? {};
      const count = countOf(entry.type, clientOf(typeof remoteAddress === 'string' ? remoteAddress : ''));
      if (count.whole >= MAX_PER_CLIENT || whole >= MAX_WHOLE) {
        count.more += 1;
        return;
      }
      count.whole += 1;
      whole += 1;
      audit.note(entry);
    },
    close: end,
  };
}
