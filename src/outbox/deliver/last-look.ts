/** The end of a message that may have arrived. */
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import type { Mailbox } from '../../store/types.ts';
import type { OutboxMessage } from '../../store/types-outbox.ts';
import { isInDoubt } from './doubt.ts';
import type { JobDeps } from './job.ts';
import { silent } from './judge.ts';
import { proven } from './open-attempt.ts';
import type { Outcome, SentProbe } from './types.ts';

/** A message is about to be given up: nobody waits longer for a server that does not answer. */
const LAST_LOOK_MS = 70_000;

/**
 * Before a message is said to have failed that may have arrived, it is looked for once more: a copy may have appeared since.
 * @returns what has become of it then; undefined where that changes nothing
 */
export async function lastLook(
  { clock, log, outbox, probe }: Pick<JobDeps, 'clock' | 'outbox'> & { readonly log: Log; readonly probe?: SentProbe },
  message: OutboxMessage,
  mailbox: Mailbox,
  outcome: Outcome,
): Promise<Outcome | undefined> {
  const recipients = message.recipients.filter(
    ({ mayHaveArrived, state }) => state === 'pending' && mayHaveArrived !== undefined,
  );
  // After an attempt whose end is unknown it has just been looked for.
  if (!probe || recipients.length === 0 || isInDoubt(outcome)) return undefined;
  try {
    const body = (): AsyncIterable<Uint8Array> => outbox.body(message);
    const open = { message, mailbox, recipients, since: message.createdAt, endedAt: clock.now(), body };
    const seen = await probe.look(open, AbortSignal.timeout(LAST_LOOK_MS));
    if (seen !== 'found' && seen !== 'probably') return undefined;
    const found = proven({ type: 'unknown', reply: silent('an earlier attempt ended without an answer') }, open, seen);
    if (found.type !== 'sent' || outcome.type !== 'refused') return found;
    const names = new Set(recipients.map(({ address }) => address));
    return {
      ...found,
      recipients: [...found.recipients, ...outcome.recipients.filter((one) => !names.has(one.address))],
    };
  } catch (error) {
    log.debug({ id: message.id, err: asError(error) }, 'the sent messages could not be looked at a last time');
    return undefined;
  }
}
