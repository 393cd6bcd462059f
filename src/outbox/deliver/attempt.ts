/** One attempt at one message: routes in order, the outcome written down, the sender told. */
import { asError } from '../../base/error.ts';
import { isForInbox } from './inbox-route.ts';
import type { Log } from '../../base/log.ts';
import type { Mailbox } from '../../store/types.ts';
import type { MessageChange, NewMessageEvent, OutboxMessage, Recipient } from '../../store/types-outbox.ts';
import { type Hold, Job, type JobDeps } from './job.ts';
import { findOut, lastLook, namedIn } from './open-attempt.ts';
import type { ReportKind } from './report.ts';
import {
  copiesOf,
  takenBy,
  failure,
  isInDoubt,
  isProbablyNotSent,
  mayHaveIt,
  withDoubt,
  withoutAttempts,
} from './doubt.ts';
import { refusedForAll, silent } from './judge.ts';
import { nextAttempt } from './retry.ts';
import { MAX_UNCOUNTED_MS, uncounted } from './resting.ts';
import type { Settler } from './settle.ts';
import { stillAllowed, type StillAllowedDeps } from './still-allowed.ts';
import type { DeliveryMeter, Outcome, RecipientOutcome, Route, SentProbe } from './types.ts';

export interface AttemptDeps extends JobDeps, StillAllowedDeps {
  readonly log: Log;
  readonly settler: Settler;
  /** The ways out of a mailbox, in the order in which they are tried. */
  routes(mailbox: Mailbox): Promise<readonly Route[]>;
  readonly probe?: SentProbe;
  /** Where reports to the sender go before anything else is tried: the sender's own inbox. */
  readonly inbox?: Route;
  /** Hands a report to the outbox; the same one again changes nothing. */
  report?(message: OutboxMessage, kind: ReportKind): Promise<void>;
  readonly meter?: DeliveryMeter;
  /** The deadline as it is now: it is moved by time in which nothing could be tried. @throws store.unavailable */
  deadline(message: OutboxMessage): Promise<number>;
  /** Nothing more of this mailbox until then. */
  pause(mailbox: Mailbox, until: number | 'blocked'): Promise<void>;
}

/** Those who asked to hear of delay hear of it then. */
const LATE_MS = 4 * 3_600_000;
/** What a process that died had begun says nothing of whether there is time for another. */
const NO_ATTEMPT = 0;
/** An attempt that nobody knows the end of is made again after this, the probe having found nothing. */
const UNKNOWN_AGAIN_MS = 5_000;

/** An attempt whose outcome is known, and on its way to being durable. */
export interface Attempted {
  /** @throws store.unavailable: given up at a stop, and looked for when the claim has run out */
  readonly settled: Promise<void>;
  /** Nothing of this mailbox leaves before then, which is not this message’s doing. */
  readonly restsUntil?: number;
}

/**
 * Tries a claimed message. Its outcome is written down while the next message may already be on its way: many go in one commit.
 * @param ways those that were written down with the claim, in order; `interrupted`: an earlier attempt, of a process that died, is
 *   to be resolved first
 * @throws store.unavailable, store.full: nothing was handed over; the signal's reason
 */
export async function attempt(
  deps: AttemptDeps,
  message: OutboxMessage,
  mailbox: Mailbox,
  hold: Hold,
  signal: AbortSignal,
  ways: readonly Route[] | 'interrupted',
): Promise<Attempted> {
  const now = deps.clock.now();
  if (ways === 'interrupted') {
    const outcome = {
      type: 'unknown',
      reply: silent('the process that was sending it ended, or lost its database'),
    } as const;
    const written = message.state.type === 'sending' ? message.state.ways : undefined;
    const copies = copiesOf(written);
    const job = new Job(deps, message, mailbox, hold);
    const { claimEndedAt } = message;
    const endedAt = claimEndedAt === undefined ? {} : { endedAt: claimEndedAt };
    const found = await findOut(deps, outcome, { ...openAttempt(job, message.createdAt), ...endedAt }, copies, signal);
    return settle(deps, message, mailbox, takenBy(written), found, NO_ATTEMPT);
  }
  const routes = [...(deps.inbox && isForInbox(message) ? [deps.inbox] : []), ...ways];
  const shut: NewMessageEvent[] = [];
  let [tried, news] = [false, false];
  let restsUntil = Infinity;
  let closed: Outcome | undefined;
  const job = new Job(deps, message, mailbox, hold);
  const forbidden = await stillAllowed(deps, job);
  if (forbidden) return settle(deps, job.message, mailbox, 'none', forbidden, now);
  for (const [at, route] of routes.entries()) {
    const started = deps.clock.now();
    const raw = await route.send(job, signal);
    const copies = route.leavesNoCopy === true ? 'never' : 'always';
    const seen = raw.type === 'unknown' ? await findOut(deps, raw, openAttempt(job, started), copies, signal) : raw;
    const last = at === routes.length - 1;
    // A way that is shut today may take tomorrow what the last one can never take.
    const outcome = last && seen.type === 'unfit' && closed ? closed : seen;
    const code = 'code' in outcome ? outcome.code : 'ok';
    if (outcome.type !== 'resting') deps.meter?.attempted(route.name, outcome.type, code, deps.clock.now() - started);
    if ('until' in outcome && outcome.until !== undefined) restsUntil = Math.min(restsUntil, outcome.until);
    if (outcome.type !== 'resting') {
      tried = true;
      // The first attempt of a message leaves a line, also where what it met is known of others.
      news ||= message.attempts === 1 || !('first' in outcome) || (outcome.first ?? true);
    }
    const another =
      outcome.type === 'closed' || outcome.type === 'unfit' || (outcome.type === 'resting' && outcome.closed);
    if (another && !last) {
      if (outcome.type !== 'unfit') closed = outcome;
      shut.push(attempted(deps.clock.now(), message, route.name, outcome, routes[at + 1]!.name));
      continue;
    }
    if (restsUntil < Infinity && isRest(outcome)) {
      if (isOverdue(message, outcome, deps.clock.now())) return expire(deps, job.message, mailbox, outcome);
      return rest(deps, job.message, route.name, outcome, { restsUntil, tried, events: news ? shut : undefined });
    }
    return settle(
      deps,
      job.message,
      mailbox,
      route.name,
      outcome.type === 'unfit' ? refusedForAll(outcome.code, outcome.reply, job.recipients) : outcome,
      started,
      shut,
    );
  }
  const none: Outcome = {
    type: 'blocked',
    code: 'outbox.no-route',
    reply: silent(`${mailbox.address} has no way to send`),
  };
  return settle(deps, message, mailbox, 'none', none, now);
}

/** An outcome that is not about the message: it stays where it is in the queue. */
function isRest(
  outcome: Outcome,
): outcome is Extract<Outcome, { readonly type: 'later' | 'closed' | 'blocked' | 'resting' }> {
  return outcome.type === 'resting' || ('until' in outcome && outcome.until !== undefined);
}

/** Waiting does not count towards the deadline; waiting for ever does. */
function isOverdue(message: OutboxMessage, outcome: Outcome, now: number): boolean {
  const since = 'since' in outcome ? (outcome.since ?? now) : now;
  return now >= message.deadline + uncounted(message, since, now) && now - since > MAX_UNCOUNTED_MS;
}

/** Back into the queue as if it had not been touched; what is news is written into the story of the message that met it. */
async function rest(
  deps: AttemptDeps,
  message: OutboxMessage,
  route: string,
  outcome: Outcome,
  {
    events: before,
    restsUntil,
    tried,
  }: {
    readonly restsUntil: number;
    readonly tried: boolean;
    /** Of ways that were tried before; undefined where nothing is news. */
    readonly events: readonly NewMessageEvent[] | undefined;
  },
): Promise<Attempted> {
  const now = deps.clock.now();
  const cause = 'rest' in outcome ? outcome.rest : undefined;
  const facts = {
    ...(cause ? { about: cause.scope, row: cause.row, cause: cause.cause } : {}),
    nextAt: iso(restsUntil),
  };
  const code = 'code' in outcome ? outcome.code : outcome.type;
  const events: readonly NewMessageEvent[] =
    before === undefined
      ? []
      : [
          ...before,
          attempted(now, message, route, outcome),
          { at: now, type: 'deferred', data: { code, reason: outcome.reply.text, ...facts } },
        ];
  const change = withoutAttempts(message, {
    state: { type: 'queued', nextAt: message.createdAt },
    // What leaves no line does not count: the numbers of a story have no gaps.
    attempts: tried && before !== undefined ? message.attempts : message.attempts - 1,
  });
  await tell(deps, { ...message, ...change });
  // What does not count has no number that would tell it from the next.
  const counted = change.attempts === message.attempts ? { attempt: message.attempts } : {};
  const settled = deps.settler.settle({ id: message.id, fence: message.fence, ...counted, change, events });
  return { settled: settled.then(() => undefined), restsUntil };
}

function openAttempt(job: Job, since: number): Parameters<typeof findOut>[2] {
  const { mailbox, message } = job;
  return { message, mailbox, recipients: namedIn(message), since, body: () => job.body() };
}

async function settle(
  deps: AttemptDeps,
  message: OutboxMessage,
  mailbox: Mailbox,
  route: string,
  outcome: Outcome,
  /** An attempt that began in time was not the last one. */
  begunAt: number,
  before: readonly NewMessageEvent[] = [],
): Promise<Attempted> {
  const now = deps.clock.now();
  const events: NewMessageEvent[] = [...before, attempted(now, message, route, outcome)];
  const deadline =
    begunAt >= message.deadline ? await deps.settler.outlast(() => deps.deadline(message)) : message.deadline;
  const judged = { ...message, deadline, recipients: withDoubt(message.recipients, outcome, namedIn(message)) };
  let change = withoutAttempts(judged, changeOf(judged, outcome, now, begunAt, [...events]));
  const seen = change.state?.type === 'failed' ? await lastLook(deps, judged, mailbox, outcome) : undefined;
  change = withoutAttempts(judged, changeOf(judged, seen ?? outcome, now, begunAt, events));
  await tell(deps, { ...message, ...change }, outcome);
  if (outcome.type === 'later' && outcome.retryAfterMs !== undefined && !isProbablyNotSent(outcome))
    await deps.settler.outlast(() => deps.pause(mailbox, now + outcome.retryAfterMs!));
  else if (outcome.type === 'blocked' || outcome.type === 'closed')
    await deps.settler.outlast(() => deps.pause(mailbox, 'blocked'));
  const known = isInDoubt(outcome) ? {} : { attempt: message.attempts };
  const settled = deps.settler.settle({ id: message.id, fence: message.fence, ...known, change, events });
  return { settled: settled.then((changed) => say(deps, message, route, outcome, changed)) };
}

function say(
  { log }: AttemptDeps,
  { attempts, id, mailbox }: OutboxMessage,
  route: string,
  outcome: Outcome,
  settled: OutboxMessage | undefined,
): void {
  const facts = { id, mailbox, route, reply: outcome.reply.text, attempts };
  if (!settled) log.warn(facts, 'a message was changed while it was being sent');
  else if (settled.state.type === 'sent') log.info(facts, 'message sent');
  else if (settled.state.type === 'failed') log.warn(facts, 'message failed');
  else log.info({ ...facts, code: 'code' in outcome ? outcome.code : outcome.type }, 'message put off');
}

/** What becomes of the message, and the events that say so. */
function changeOf(
  message: OutboxMessage,
  outcome: Outcome,
  now: number,
  begunAt: number,
  events: NewMessageEvent[],
): MessageChange {
  if (outcome.type === 'sent' || outcome.type === 'refused') {
    const recipients = message.recipients.map((one) => after(one, outcome.recipients));
    // What was said at RCPT is written down already where the message went on to others.
    const waiting = new Set(message.recipients.flatMap(({ address, state }) => (state === 'pending' ? [address] : [])));
    const refused = outcome.recipients.filter((one) => one.outcome === 'refused' && waiting.has(one.address));
    if (refused.length > 0 && outcome.type === 'sent')
      events.push({ at: now, type: 'refused', data: { recipients: refused, ...mayHaveIt(recipients, refused) } });
    if (recipients.some(({ state }) => state === 'pending'))
      return putOff(message, outcome, now, begunAt, events, recipients);
    if (recipients.some(({ state }) => state === 'delivered')) {
      const proof = outcome.type === 'sent' && outcome.proof !== undefined ? { proof: outcome.proof } : {};
      const twice = message.recipients.some(
        ({ address, mayHaveArrived, state }) =>
          mayHaveArrived !== undefined &&
          state === 'pending' &&
          recipients.some((one) => one.address === address && one.state === 'delivered'),
      );
      const again = twice ? { mayBeDuplicate: true } : {};
      events.push({ at: now, type: 'sent', data: { reply: outcome.reply.text, ...proof, ...again } });
      return { state: { type: 'sent', at: now }, recipients };
    }
    const code = outcome.type === 'refused' ? outcome.code : 'outbox.refused';
    return failed(now, code, outcome.reply.text, outcome.reply.text, recipients, events);
  }
  return putOff(message, outcome, now, begunAt, events, message.recipients);
}

function putOff(
  message: OutboxMessage,
  outcome: Outcome,
  now: number,
  begunAt: number,
  events: NewMessageEvent[],
  recipients: readonly Recipient[],
): MessageChange {
  const code = 'code' in outcome ? outcome.code : 'outbox.deferred';
  if (begunAt >= message.deadline) {
    const reason = `it could not be sent in time; last: ${outcome.reply.text}`;
    return failed(now, 'outbox.expired', reason, outcome.reply.text, givenUp(recipients, reason), events);
  }
  const asked = outcome.type === 'later' ? outcome.retryAfterMs : undefined;
  // Some have it now: the others, a part of many or put off alone, are no trouble that lasts.
  const failures = outcome.type === 'sent' ? 1 : message.attempts;
  const nextAt = isProbablyNotSent(outcome)
    ? now + UNKNOWN_AGAIN_MS
    : nextAttempt(failures, now, message.deadline, asked);
  // At least once: it is sent again, and the story says that it may come twice; also where a look found nothing, as there is no
  // bound for how late a copy appears.
  const doubt = {
    ...(isInDoubt(outcome) ? { mayBeDuplicate: true } : {}),
    ...(isProbablyNotSent(outcome) ? { probablyNotSent: true } : {}),
  };
  const about = outcome.type === 'unknown' ? {} : { code };
  const data = { ...about, reason: outcome.reply.text, ...doubt, nextAt: iso(nextAt) };
  events.push({ at: now, type: 'deferred', data });
  return { state: { type: 'queued', nextAt }, recipients };
}

/** The end of a message, and the event that tells of it. */
function failed(
  at: number,
  code: string,
  reason: string,
  reply: string,
  recipients: readonly Recipient[],
  events: NewMessageEvent[],
): MessageChange {
  const { mayHaveArrived, ...end } = failure(code, reason, recipients);
  const doubt = mayHaveArrived.length === 0 ? {} : { mayHaveArrived };
  events.push({ at, type: 'failed', data: { code: end.code, reply, ...doubt } });
  return { state: { type: 'failed', at, ...end }, recipients };
}

async function expire(deps: AttemptDeps, message: OutboxMessage, mailbox: Mailbox, end: Outcome): Promise<Attempted> {
  const at = deps.clock.now();
  const seen = await lastLook(deps, message, mailbox, end);
  if (seen) return settle(deps, message, mailbox, 'none', seen, at);
  const last = end.reply.text;
  const reason = `it could not be sent in time; last: ${last}`;
  const events: NewMessageEvent[] = [];
  const change = failed(at, 'outbox.expired', reason, last, givenUp(message.recipients, reason), events);
  await tell(deps, { ...message, ...change });
  const settled = deps.settler.settle({ id: message.id, fence: message.fence, change, events });
  return { settled: settled.then(() => undefined) };
}

/**
 * The sender hears of what did not arrive, and of what was asked for, before it is written down: whoever dies in between says
 * it again, and the outbox takes it once. A report that cannot be made is no reason to send the message again.
 */
async function tell(deps: AttemptDeps, message: OutboxMessage, outcome?: Outcome): Promise<void> {
  const { clock, log, report } = deps;
  if (!report || message.envelopeFrom === '') return;
  const { createdAt, recipients, state } = message;
  const kinds: ReportKind[] = [];
  if ((state.type === 'failed' || state.type === 'sent') && recipients.some((one) => one.state === 'refused'))
    kinds.push('failed');
  if (state.type === 'sent' && outcome?.type === 'sent' && outcome.dsnPassedOn !== true) kinds.push('relayed');
  if (state.type === 'queued' && clock.now() - createdAt >= LATE_MS) kinds.push('delayed');
  for (const kind of kinds) {
    try {
      await deps.settler.outlast(() => report(message, kind));
    } catch (error) {
      log.error({ id: message.id, kind, err: asError(error) }, 'the sender could not be told');
    }
  }
}

function attempted(
  at: number,
  { attempts }: OutboxMessage,
  route: string,
  outcome: Outcome,
  next?: string,
): NewMessageEvent {
  const { code, enhanced, text } = outcome.reply;
  const data = {
    ...(outcome.type === 'sent' && outcome.proof !== undefined ? { proof: outcome.proof } : {}),
    route,
    attempt: attempts,
    outcome: outcome.type,
    reply: text,
    ...(code === undefined ? {} : { status: code }),
    ...(enhanced === undefined ? {} : { enhanced }),
    ...(next === undefined ? {} : { next }),
  };
  return { at, type: 'attempted', data };
}

function after(one: Recipient, outcomes: readonly RecipientOutcome[]): Recipient {
  const found = outcomes.find(({ address }) => address === one.address);
  if (one.state !== 'pending' || !found || found.outcome === 'later') return one;
  return { ...one, state: found.outcome, reply: found.reply };
}

function givenUp(recipients: readonly Recipient[], reason: string): readonly Recipient[] {
  return recipients.map((one) => (one.state === 'pending' ? { ...one, state: 'refused', reply: reason } : one));
}

const iso = (at: number): string => new Date(at).toISOString();
