/** An attempt whose end nobody saw: the connection broke after the last octet, or the process ended. Found out, or told as unknown. */
import type { Clock } from '../../base/clock.ts';
import { isAway } from '../../store/outlast.ts';
import type { Recipient } from '../../store/types-outbox.ts';
import type { Copies } from './doubt.ts';
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
