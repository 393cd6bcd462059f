/** When the next message of a mailbox may leave: a ledger of what was sent lately, shared by all processes. */
import { inLedger, type Ledger } from '../../store/ledger.ts';
import type { SendingLimits } from '../../oauth/preset.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;
const MAX_PAUSE_MS = 25 * HOUR_MS;
/** The provider's clock starts when it sees the message, ours when we send it: windows are taken this much longer. */
const MARGIN_MS = 1_000;

/** What the ledger holds of a mailbox. Times are milliseconds since the epoch. */
interface Entry {
  /** When each of the last messages was let through, oldest first; no more than the limit has. */
  readonly sent: readonly number[];
  /** Recipients by hour (hours since the epoch). */
  readonly hours: Readonly<Record<string, number>>;
  /** Nothing before this moment: the provider asked for a pause. */
  readonly pausedUntil: number;
}

const EMPTY: Entry = { sent: [], hours: {}, pausedUntil: 0 };

export type Permission =
  | { readonly type: 'go' }
  /** Ask again then. */
  | { readonly type: 'wait'; readonly until: number; readonly why: 'minute' | 'day' | 'paused' };

/** Asks for one message; when it says `go` the message counts. @throws store.unavailable */
export async function reserve(
  table: Ledger,
  mailbox: string,
  recipients: number,
  limits: SendingLimits,
  now: number,
): Promise<Permission> {
  if (limits.messagesPerMinute === undefined && limits.recipientsPerDay === undefined) {
    // Only a pause can be in the way.
    return inLedger<Permission>(table, `mailbox ${mailbox}`, (text) => {
      const pausedUntil = believable(read(text).pausedUntil, now);
      const result: Permission =
        pausedUntil > now ? { type: 'wait', until: pausedUntil, why: 'paused' } : { type: 'go' };
      return { entry: text ?? JSON.stringify(EMPTY), result };
    });
  }
  return inLedger<Permission>(table, `mailbox ${mailbox}`, (text) => {
    const entry = tidy(read(text), now);
    const result = judge(entry, recipients, limits, now);
    if (result.type === 'wait') return { entry: JSON.stringify(entry), result };
    return { entry: JSON.stringify(counted(entry, recipients, limits, now)), result };
  });
}

/** Nothing of this mailbox before a moment, in any process. */
export async function pause(table: Ledger, mailbox: string, until: number): Promise<void> {
  await inLedger(table, `mailbox ${mailbox}`, (text) => {
    const entry = read(text);
    const before = entry.pausedUntil > until + MAX_PAUSE_MS ? 0 : entry.pausedUntil;
    return { entry: JSON.stringify({ ...entry, pausedUntil: Math.max(before, until) }), result: undefined };
  });
}

function judge(entry: Entry, recipients: number, limits: SendingLimits, now: number): Permission {
  if (entry.pausedUntil > now) return { type: 'wait', until: entry.pausedUntil, why: 'paused' };
  const { messagesPerMinute: most, recipientsPerDay: mostToday } = limits;
  if (most !== undefined && entry.sent.length >= most) {
    // Any window of a minute holds at most `most`: the one that leaves it must be a minute ago.
    const until = entry.sent.at(-most)! + MINUTE_MS + MARGIN_MS;
    if (until > now) return { type: 'wait', until, why: 'minute' };
  }
  if (mostToday !== undefined) {
    let sum = recipients;
    for (const count of Object.values(entry.hours)) sum += count;
    // A message with more recipients than a day allows goes alone.
    if (sum > mostToday && sum > recipients) return { type: 'wait', until: nextHour(entry, now), why: 'day' };
  }
  return { type: 'go' };
}

function counted(entry: Entry, recipients: number, limits: SendingLimits, now: number): Entry {
  const hour = String(Math.floor(now / HOUR_MS));
  return {
    ...entry,
    sent: limits.messagesPerMinute === undefined ? [] : [...entry.sent, now].slice(-limits.messagesPerMinute),
    hours: { ...entry.hours, [hour]: (entry.hours[hour] ?? 0) + recipients },
  };
}

function tidy(entry: Entry, now: number): Entry {
  const hour = Math.floor(now / HOUR_MS);
  const hours: Record<string, number> = {};
  for (const [at, count] of Object.entries(entry.hours)) {
    if (Number(at) < hour - DAY_HOURS) continue;
    // What a clock that ran ahead wrote down was sent by now, nobody knows when: it counts as sent just now.
    const own = String(Math.min(Number(at), hour));
    hours[own] = (hours[own] ?? 0) + count;
  }
  const sent = entry.sent.map((at) => Math.min(at, now));
  return { ...entry, sent, hours, pausedUntil: believable(entry.pausedUntil, now) };
}

/** No provider asks for more than a day; what stands further ahead was written by a clock that ran ahead. */
function believable(until: number, now: number): number {
  return until > now + MAX_PAUSE_MS ? 0 : until;
}

/** When the oldest hour that counts is a day old. */
function nextHour(entry: Entry, now: number): number {
  const oldest = Math.min(...Object.keys(entry.hours).map(Number));
  return Math.max(now + MINUTE_MS, (oldest + DAY_HOURS + 1) * HOUR_MS);
}

function read(text: string | undefined): Entry {
  return text === undefined ? EMPTY : { ...EMPTY, ...(JSON.parse(text) as Partial<Entry>) };
}
