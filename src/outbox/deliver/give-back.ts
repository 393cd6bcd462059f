/** Mail that was claimed and not touched, and claims while the database is away. */
import { asError } from '../../base/error.ts';
import type { OutboxMessage } from '../../store/types-outbox.ts';
import type { AttemptDeps } from './attempt.ts';
import type { Claims } from './claims.ts';
import type { Settler } from './settle.ts';

/** Back to where it was in the queue, as if it had not been touched; never rejects. */
export async function giveBack(
  { clock, log, settler }: Pick<AttemptDeps, 'clock' | 'log' | 'settler'>,
  claims: Claims,
  messages: readonly OutboxMessage[],
): Promise<void> {
  // It was due; when it was accepted may lie in the future, by a clock that ran ahead.
  const now = clock.now();
  const one = async ({ id, fence, createdAt, attempts }: OutboxMessage): Promise<void> => {
    const state = { type: 'queued', nextAt: Math.min(createdAt, now) } as const;
    const claim = claims.of(id);
    try {
      await settler.settle({ id, fence, change: { state, attempts: attempts - 1 }, events: [] });
    } catch (error) {
      log.warn({ id, err: asError(error) }, 'a message could not be given back to the queue');
    }
    claims.drop(id, claim);
  };
  await Promise.all(messages.map(one));
}

/** What was said while the database was away is written down first, and what is claimed has to be ours still. */
export async function databaseBack(
  settler: Pick<Settler, 'away' | 'back' | 'outlast'>,
  claims: Pick<Claims, 'prolong'>,
  giveUp: AbortSignal,
): Promise<void> {
  while (settler.away) {
    await settler.back();
    if (!giveUp.aborted) await settler.outlast(() => claims.prolong());
  }
}
