/** What a reply means for a message: by who said it and when, not by its number alone. */
import type { PosternError } from '../../base/error.ts';
import type { SendResult, SmtpReply } from '../../protocol/smtp/send.ts';
import type { Recipient } from '../../store/types-outbox.ts';
import type { Outcome, ProviderReply, RecipientOutcome } from './types.ts';

/** Exchange: "SmtpClientAuthentication is disabled for the Tenant" or "… Mailbox"; a way that is shut, not a bad message. */
const SHUT = /SmtpClientAuthentication is disabled|basic authentication is disabled/i;
/** Exchange's throttling that comes as 4yz, and 5.2.2-like texts that pass by themselves. */
const SLOW =
  /4\.3\.2 .*concurrent|STOREDRV\.ClientSubmit|sending limit|5\.2\.0 .*submission rate|message submission rate/i;

/** A finished SMTP transaction. `recipients` are those that were named, in order. */
export function outcomeOf(result: SendResult, recipients: readonly Recipient[]): Outcome {
  if (result.type === 'unknown') return { type: 'unknown', reply: silent(result.reason) };
  const reply = replyOf(result.reply);
  if (result.type === 'taken')
    return {
      type: 'sent',
      reply,
      recipients: recipients.map((one, at) => recipientOutcome(one, result.recipients[at] ?? result.reply, reply.text)),
    };
  if (SHUT.test(reply.text)) return { type: 'closed', code: 'outbox.route-closed', reply };
  if (isTransient(result.reply)) return { type: 'later', code: 'outbox.deferred', reply, ...pauseAsked(result.reply) };
  // Some may have been refused for good while others were only put off: nobody is given up who may still get it.
  const each = recipients.map((one, at) => {
    const said = result.recipients[at];
    return recipientOutcome(one, said === undefined || isGood(said) ? result.reply : said, reply.text);
  });
  if (each.some(({ outcome }) => outcome === 'later')) return { type: 'later', code: 'outbox.deferred', reply };
  return { type: 'refused', code: 'outbox.refused', reply, recipients: each };
}

/** Why no transaction was possible: connection, sign-in, consent. */
export function outcomeOfFailure(error: PosternError, now: number): Outcome {
  const said = error.detail['reply'];
  const text = typeof said === 'string' ? said : error.message;
  const reply: ProviderReply = { code: codeIn(text), enhanced: enhancedIn(text), text };
  const inner = typeof error.detail['code'] === 'string' ? error.detail['code'] : error.code;
  if (SHUT.test(text)) return { type: 'closed', code: 'outbox.route-closed', reply };
  if (error.kind === 'denied') return { type: 'blocked', code: inner, reply };
  if (error.kind === 'misuse' || error.kind === 'refused') return { type: 'closed', code: inner, reply };
  const asked = error.retryAt === undefined ? {} : { retryAfterMs: Math.max(0, error.retryAt.getTime() - now) };
  return { type: 'later', code: inner, reply, ...asked };
}

function recipientOutcome({ address }: Recipient, said: SmtpReply, whole: string): RecipientOutcome {
  if (isGood(said)) return { address, outcome: 'delivered', reply: whole };
  return { address, outcome: isTransient(said) ? 'later' : 'refused', reply: said.text };
}

const isGood = ({ code }: SmtpReply): boolean => code >= 200 && code < 300;

function isTransient({ code, text }: SmtpReply): boolean {
  return code < 500 || SLOW.test(text);
}

/** "suggested back-off" of Exchange, in milliseconds (`Suggested Backoff Time: 271 milliseconds`), or a `Retry-After: n`. */
function pauseAsked({ text }: SmtpReply): { readonly retryAfterMs?: number } {
  const milliseconds = /backoff time:? (\d+) ?ms|backoff time:? (\d+) milliseconds/i.exec(text);
  if (milliseconds) return { retryAfterMs: Number(milliseconds[1] ?? milliseconds[2]) };
  const seconds = /(?:retry|try again)[- ]after:? (\d+)/i.exec(text);
  return seconds ? { retryAfterMs: Number(seconds[1]) * 1000 } : {};
}

export function replyOf({ code, enhanced, text }: SmtpReply): ProviderReply {
  return { code, enhanced, text };
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
