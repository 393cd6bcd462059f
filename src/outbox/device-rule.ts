/** Devices that cannot sign in: who they are by their network, as whom they send, and how much. */
import type { Clock } from '../base/clock.ts';
import { isWithin, readNetwork } from '../access/network.ts';
import type { Store } from '../store/types.ts';
import { outboxError } from './errors.ts';
import { inLedger } from '../store/ledger.ts';

export interface DeviceRule {
  readonly name: string;
  /** CIDR blocks; never empty, because that would be everybody. */
  readonly networks: readonly string[];
  /** The mailbox whose consent sends. */
  readonly mailbox: string;
  /** The only sender, in the envelope and in `From`; the mailbox itself unless given. */
  readonly sender?: string | undefined;
  /** Recipients in any hour, of all messages of all these devices together. */
  readonly perHour: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** The first rule that an address falls under. */
export function ruleFor(rules: readonly DeviceRule[], remoteAddress: string): DeviceRule | undefined {
  return rules.find(({ networks }) => networks.length > 0 && isWithin(remoteAddress, networks.map(readNetwork)));
}

/** Recipients taken, by the minute, oldest first. */
type Taken = readonly (readonly [minute: number, recipients: number])[];
/** The result is when there is room again, or undefined when there was. */
interface LedgerStep {
  readonly entry: string;
  readonly result: number | undefined;
}

/**
 * Counts recipients against the quota of a rule, in the database, so that it holds for all processes and across restarts. The
 * place is taken before the message is, and given back by the function returned when the message is not taken after all.
 * @throws outbox.device-quota, store.unavailable
 */
export async function spend(
  { store, clock }: { readonly store: Pick<Store, 'outbox'>; readonly clock: Clock },
  { name, perHour }: DeviceRule,
  recipients: number,
): Promise<() => Promise<void>> {
  const minute = Math.floor(clock.now() / MINUTE_MS);
  const passesAt = await inLedger(store.outbox, `device/${name}`, (entry): LedgerStep => {
    const before: Taken = entry === undefined ? [] : (JSON.parse(entry) as Taken);
    const recent = recentOf(before, minute);
    const used = recent.reduce((sum, [, count]) => sum + count, 0);
    if (used + recipients > perHour)
      return { entry: JSON.stringify(recent), result: (recent[0]?.[0] ?? minute) * MINUTE_MS + HOUR_MS };
    const own = recent.at(-1)?.[0] === minute ? recent.at(-1)![1] : 0;
    const others = own === 0 ? recent : recent.slice(0, -1);
    return { entry: JSON.stringify([...others, [minute, own + recipients]]), result: undefined };
  });
  if (passesAt === undefined) return () => giveBack(store, name, minute, recipients);
  throw outboxError('outbox.device-quota', `the devices of ${name} may send to ${perHour} recipients an hour`, {
    detail: { rule: name, perHour },
    retryAt: new Date(passesAt),
  });
}

/** Of the last hour. What a clock that ran ahead wrote down is of no minute there is, and forgotten. */
function recentOf(taken: Taken, minute: number): Taken {
  return taken.filter(([at]) => at <= minute + 1 && (minute - at) * MINUTE_MS < HOUR_MS);
}

async function giveBack(store: Pick<Store, 'outbox'>, name: string, minute: number, recipients: number): Promise<void> {
  await inLedger(store.outbox, `device/${name}`, (entry) => {
    const before: Taken = entry === undefined ? [] : (JSON.parse(entry) as Taken);
    const left = before.map(([at, count]) => [at, at === minute ? Math.max(0, count - recipients) : count] as const);
    return { entry: JSON.stringify(left.filter(([, count]) => count > 0)), result: undefined };
  });
}
