/** What a reply means for a message: whose refusal it is says the catalogue, in a row of its own with where that is known from. */
import { foldCase } from '../../base/case.ts';
import type { PosternError } from '../../base/error.ts';
import { withoutPaths } from '../../base/outside.ts';
import { diagnose, remedyText } from '../../oauth/catalogue/diagnose.ts';
import { type Refusal, refusalOf } from '../../oauth/catalogue/refusal.ts';
import type { SendResult, SmtpReply } from '../../protocol/smtp/send.ts';
import { rowOf } from '../../store/table/mailboxes.ts';
import type { Mailbox } from '../../store/types.ts';
import type { Recipient } from '../../store/types-outbox.ts';
import type { Outcome, ProviderReply, RecipientOutcome, RestCause } from './types.ts';

/** What is known of the message beside the reply. */
export interface Asked {
  readonly mailbox: Pick<Mailbox, 'address' | 'access' | 'catchAll'>;
  /** The address the message is from. */
  readonly from: string;
}

/** A finished SMTP transaction. `recipients` are those that were named, in order. */
export function outcomeOf(result: SendResult, recipients: readonly Recipient[], asked: Asked): Outcome {
  if (result.type === 'unknown') return { type: 'unknown', reply: silent(result.reason) };
  const reply = replyOf(result.reply);
  const judged = recipients.map((one, at) => judgeRecipient(one, result.recipients[at], result.reply, asked));
  const rest = judged.find((one) => one.rest !== undefined)?.rest;
  const each = judged.map(({ outcome }) => outcome);
  if (result.type === 'taken') return { type: 'sent', reply, recipients: each, ...(rest ? { rest } : {}) };
  const refusal = refusalOf(
    { reply: { protocol: 'smtp', text: reply.text } },
    { address: asked.mailbox.address, row: rowOf(asked.mailbox) },
  );
  const whole = restOf(refusal, asked) ?? rest;
  if (whole) return resting(whole, reply, pauseAsked(result.reply.text));
  if (result.reply.code < 500)
    return { type: 'later', code: 'outbox.deferred', reply, ...retryAfter(pauseAsked(result.reply.text)) };
  // Some may have been refused for good while others were only put off: nobody is given up who may still get it.
  if (each.some(({ outcome }) => outcome === 'later')) return { type: 'later', code: 'outbox.deferred', reply };
  return { type: 'refused', code: 'outbox.refused', reply, recipients: each };
}

/**
 * Why no transaction was possible: connection, sign-in, consent.
 * @param where `at the door`: the server was not heard of before, or did not let us in; that it breaks off there is nothing of the message's
 */
export function outcomeOfFailure(
  error: PosternError,
  now: number,
  mailbox: Mailbox,
  where: 'at the door' | 'inside' = 'inside',
): Outcome {
  const { address } = mailbox;
  const said = error.detail['reply'];
  const text = typeof said === 'string' ? said : withoutPaths(error.message);
  const reply: ProviderReply = { code: codeIn(text), enhanced: enhancedIn(text), text };
  const inner = typeof error.detail['code'] === 'string' ? error.detail['code'] : error.code;
  const waitMs = error.retryAt === undefined ? undefined : Math.max(0, error.retryAt.getTime() - now);
  const known =
    typeof said === 'string'
      ? refusalOf({ reply: { protocol: 'smtp', text } }, { address, row: rowOf(mailbox) })
      : undefined;
  const rest = restOf(known, { mailbox, from: address });
  if (rest) return resting(rest, reply, waitMs);
  const { cause, id, passesWhen, remedy } = diagnose(error, {
    address,
    row: rowOf(mailbox),
    access: mailbox.access,
    protocols: mailbox.protocols.join(','),
  });
  const words = {
    row: id,
    cause: withoutPaths(cause),
    remedy: remedyText(remedy),
    ...(passesWhen === undefined ? {} : { passesWhen }),
  };
  if (error.kind === 'denied')
    return { type: 'blocked', code: inner, reply, rest: { scope: 'mailbox', ...words, againMs: CONSENT_MS } };
  if (error.kind === 'misuse' || error.kind === 'refused')
    return { type: 'closed', code: inner, reply, rest: { scope: 'route', ...words, againMs: SHUT_MS } };
  const later = { type: 'later', code: inner, reply, ...retryAfter(waitMs) } as const;
  const passing = { ...words, passesWhen: passesWhen ?? 'the other side recovers' };
  const silentServer = where === 'at the door' && (inner === 'wire.timeout' || error.code.startsWith('wire.'));
  if (silentServer || UNREACHED.test(inner))
    return { ...later, rest: { scope: 'endpoint', ...passing, againMs: UNREACHED_MS } };
  // A connection that broke in the middle of this message says nothing of others.
  if (inner === error.code && inner.startsWith('wire.')) return later;
  return { ...later, rest: { scope: 'mailbox', ...passing, againMs: TROUBLE_MS } };
}

/** No connection came about: it is the server or the way to it, for everybody. */
const UNREACHED = /^(?:wire\.unreachable|tls\.|outbox\.graph-unreachable$)/;
/** A server that is back is noticed soon, and who connects is one at a time. */
const UNREACHED_MS = 5_000;
const TROUBLE_MS = 30_000;
/** A new consent is noticed when it is stored; this is only for what was not heard of. */
const CONSENT_MS = 60_000;
const SHUT_MS = 15 * 60_000;

/** What has to rest because of a refusal; undefined where it is about the message or a recipient, or nothing is known. */
export function restOf(refusal: Refusal | undefined, { from, mailbox }: Asked): RestCause | undefined {
  if (!refusal) return undefined;
  const { whose, ...cause } = refusal;
  switch (whose) {
    case 'message':
    case 'recipient':
      return undefined;
    case 'sender':
      // Without the permission to send as a shared mailbox nothing of it can leave; another address is the message's own choice.
      return mailbox.access === 'shared' && foldCase(from) === foldCase(mailbox.address)
        ? { scope: 'mailbox', ...cause }
        : undefined;
    case 'route':
    case 'mailbox':
    case 'tenant':
      return { scope: whose, ...cause };
  }
}

/** The outcome of a refusal that is not about the message. */
export function resting(rest: RestCause, reply: ProviderReply, askedMs: number | undefined): Outcome {
  // Where a person has to open this way, another may be open.
  if (rest.scope === 'route' && rest.passesWhen === undefined)
    return { type: 'closed', code: 'outbox.route-closed', reply, rest };
  return { type: 'later', code: 'outbox.deferred', reply, rest, ...retryAfter(askedMs) };
}

const retryAfter = (ms: number | undefined): { readonly retryAfterMs?: number } =>
  ms === undefined ? {} : { retryAfterMs: ms };

/** @param said the reply to RCPT, if there was one @param last the reply that decided */
function judgeRecipient(
  { address }: Recipient,
  said: SmtpReply | undefined,
  last: SmtpReply,
  asked: Asked,
): { readonly outcome: RecipientOutcome; readonly rest?: RestCause } {
  const own = said !== undefined && !isGood(said) ? said : undefined;
  const reply = own ?? last;
  if (isGood(reply)) return { outcome: { address, outcome: 'delivered', reply: last.text } };
  const refusal = refusalOf(
    { reply: { protocol: 'smtp', text: reply.text } },
    { address: asked.mailbox.address, row: rowOf(asked.mailbox) },
    own ? 'recipient' : 'message',
  );
  const rest = restOf(refusal, asked);
  const outcome = rest || reply.code < 500 ? 'later' : 'refused';
  return { outcome: { address, outcome, reply: reply.text }, ...(rest ? { rest } : {}) };
}

/** What a server said to recipients, before it takes or refuses the message as a whole. */
export function outcomesAtRcpt(
  recipients: readonly Recipient[],
  replies: readonly SmtpReply[],
  asked: Asked,
): readonly RecipientOutcome[] {
  return recipients.map((one, at) => judgeRecipient(one, replies[at], replies[at]!, asked).outcome);
}

const isGood = ({ code }: SmtpReply): boolean => code >= 200 && code < 300;

/** "suggested back-off" of Exchange, in milliseconds (`Suggested Backoff Time: 271 milliseconds`), or a `Retry-After: n`. */
function pauseAsked(text: string): number | undefined {
  const milliseconds = /backoff time:? (\d{1,9}) ?m(?:s|illiseconds)/i.exec(text);
  if (milliseconds) return Number(milliseconds[1]);
  const seconds = /(?:retry|try again)[- ]after:? (\d{1,9})/i.exec(text);
  return seconds ? Number(seconds[1]) * 1000 : undefined;
}

export function replyOf({ code, enhanced, text }: SmtpReply): ProviderReply {
  return { code, enhanced, text };
}

/** The same for each of them. */
export function forAll(
  recipients: readonly Pick<Recipient, 'address'>[],
  outcome: RecipientOutcome['outcome'],
  reply: string,
): readonly RecipientOutcome[] {
  return recipients.map(({ address }) => ({ address, outcome, reply }));
}

/** Nobody gets it, today or tomorrow. */
export function refusedForAll(
  code: string,
  reply: ProviderReply,
  recipients: readonly Recipient[],
): Outcome & { readonly type: 'refused' } {
  return { type: 'refused', code, reply, recipients: forAll(recipients, 'refused', reply.text) };
}

/** Words of ours where nobody said anything. */
export function silent(text: string): ProviderReply {
  return { code: undefined, enhanced: undefined, text };
}

function codeIn(text: string): number | undefined {
  const found = /^([245]\d\d)\b/.exec(text);
  return found ? Number(found[1]) : undefined;
}

function enhancedIn(text: string): string | undefined {
  return /\b([245]\.\d{1,3}\.\d{1,3})\b/.exec(text)?.[1];
}
