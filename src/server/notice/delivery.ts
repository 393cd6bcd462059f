/** Carries notices out until they have arrived, across restarts and whichever process has time. */
import type { Clock } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import type { Audit } from '../../audit/types.ts';
import { outlast } from '../../store/outlast.ts';
import type { Store } from '../../store/types.ts';
import type { NoticeDelivery, NoticeOutcome } from '../../store/types-notices.ts';
import { noticeBody } from './notice-body.ts';
import type { NoticeChannel } from './channel.ts';

export interface DeliveryDeps {
  readonly store: Store;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
  readonly channels: readonly NoticeChannel[];
}

/** When to try again after each failure, about three days in all (the schedule of Standard Webhooks). */
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const AGAIN_MS = [5000, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/** A process that dies holds its claims up for so long; no channel takes longer. */
const CLAIM_MS = 5 * MINUTE;
const BATCH = 10;

/** Delivers all that is due now. @throws store.unavailable */
export async function deliverDue(deps: DeliveryDeps, signal: AbortSignal): Promise<number> {
  const { store, clock } = deps;
  for (let delivered = 0; ;) {
    const now = clock.now();
    const due = await store.notices.claimDeliveries({ now, until: now + CLAIM_MS, limit: BATCH });
    if (due.length === 0) return delivered;
    await Promise.all(
      due.map(async (delivery) => {
        const outcome = await attempt(deps, delivery, signal);
        // Told already: written down as soon as the database takes it, or people hear of it twice.
        if (outcome) await outlast(() => store.notices.settle(delivery, outcome), { clock, signal });
      }),
    );
    delivered += due.length;
    if (signal.aborted) return delivered;
  }
}

/** Undefined when we were stopped: the claim runs out and somebody else tries. */
async function attempt(
  { channels, audit, clock, log }: DeliveryDeps,
  { notice, status, channel: name, attempts }: NoticeDelivery,
  signal: AbortSignal,
): Promise<NoticeOutcome | undefined> {
  const channel = channels.find((known) => known.name === name);
  if (!channel) return { type: 'given-up', problem: 'this way of telling is no longer configured' };
  const at = status === 'raised' ? notice.raisedAt : (notice.resolvedAt ?? clock.now());
  const facts = { notice: notice.id, cause: notice.cause, status, channel: name };
  try {
    await channel.deliver({ id: notice.id, status, at, body: noticeBody.parse(notice.body) }, signal);
    audit.note({ type: 'notice.delivered', outcome: 'ok', data: facts });
    return { type: 'delivered', at: clock.now() };
  } catch (thrown) {
    if (signal.aborted) return undefined;
    const error = asError(thrown);
    const wait = AGAIN_MS[attempts];
    const lost = wait === undefined || error.code === 'server.notice-undeliverable';
    log.warn(
      { ...facts, attempts: attempts + 1, error: error.message },
      lost ? 'a notice is given up' : 'a notice waits',
    );
    if (!lost) return { type: 'again', at: clock.now() + wait, problem: error.message };
    await audit.record({ type: 'notice.undeliverable', outcome: 'failed', data: { ...facts, reason: error.message } });
    return { type: 'given-up', problem: error.message };
  }
}
