/** An attempt whose end nobody saw: the connection broke after the last octet, or the process ended. Found out, or told as unknown. */
import type { Clock } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import { isAway } from '../../store/outlast.ts';
import type { Mailbox } from '../../store/types.ts';
import type { OutboxMessage, Recipient } from '../../store/types-outbox.ts';
import { type Copies, isInDoubt } from './doubt.ts';
import type { JobDeps } from './job.ts';
import { forAll, silent } from './judge.ts';
import type { OpenAttempt, Outcome, SentProbe } from './types.ts';

/**
 * When it is looked for after the end of the attempt: a copy may appear late (Exchange's by half a minute under load; no bound is
 * documented). After the last of them, at 75 seconds, a message is taken for not sent, and its story says that this is not certain.
 */
const LOOKS_MS = [2_000, 10_000, 25_000, 50_000, 75_000] as const;

/** For whom the provider would have taken the last attempt: those it took at RCPT where it refused others, else all that wait. */
export function namedIn({ attempts, recipients }: OpenAttempt['message']): readonly Recipient[] {
  const waiting = recipients.filter(({ state }) => state === 'pending');
  const named = waiting.filter(({ attempt }) => attempt === attempts);
  return named.length > 0 ? named : waiting;
}

/**
 * @param outcome what is known without looking
 */
export async function findOut(
  { clock, probe }: { readonly clock: Clock; readonly probe?: SentProbe },
  outcome: Outcome & { readonly type: 'unknown' },
  attempt: OpenAttempt,
  copies: Copies,
  signal: AbortSignal,
): Promise<Outcome> {
  if (!probe || copies === 'never') return outcome;
  let last: Awaited<ReturnType<SentProbe['look']>> = 'failed';
  // What a process that died left is judged by the time that has passed since: one that is restarted again and again, or comes
  // back after hours, does not begin to wait again.
  const endedAt = Math.min(attempt.endedAt ?? clock.now(), clock.now());
  for (const [index, lookAt] of LOOKS_MS.entries()) {
    const next = LOOKS_MS[index + 1];
    if (next !== undefined && endedAt + next <= clock.now()) continue;
    await clock.sleep(Math.max(0, endedAt + lookAt - clock.now()), signal);
    const seen = await looked(probe, attempt, signal);
    if (seen === 'unable') return outcome;
    if (seen === 'found' || seen === 'probably') return proven(outcome, attempt, seen);
    // What was seen once stays: a later look that fails takes nothing back.
    if (seen !== 'failed') last = seen;
  }
  const { text } = outcome.reply;
  if (last === 'failed') return { ...outcome, reply: silent(`${text}; the sent messages could not be looked at`) };
  if (last === 'uncertain')
    return {
      ...outcome,
      reply: silent(`${text}; a sent message with this Message-ID may be the program's own copy, so it proves nothing`),
    };
  if (copies === 'sometimes') return outcome;
  return {
    type: 'later',
    code: 'outbox.not-sent',
    reply: silent(`${text}; it was probably not sent: it is not among the sent messages`),
  };
}

/** A database that is away must not hide that the end of this attempt is unknown. */
async function looked(probe: SentProbe, attempt: OpenAttempt, signal: AbortSignal): ReturnType<SentProbe['look']> {
  try {
    return await probe.look(attempt, signal);
  } catch (error) {
    if (!isAway(error)) throw error;
    return 'failed';
  }
}

/** An attempt whose copy is among the sent messages. */
export function proven(
  { reply: { text } }: Outcome & { readonly type: 'unknown' },
  { recipients }: OpenAttempt,
  seen: 'found' | 'probably',
): Outcome {
  const reply = silent(
    seen === 'found'
      ? `${text}; the copy among the sent messages carries the mark of this attempt`
      : `${text}; it was probably taken: a sent message has its Message-ID, size, date and recipients, ` +
          'but the provider removed our mark',
  );
  return {
    type: 'sent',
    reply,
    recipients: forAll(recipients, 'delivered', reply.text),
    proof: seen === 'found' ? 'mark' : 'probable',
  };
}

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
