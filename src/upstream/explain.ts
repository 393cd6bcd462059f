/** Failures on the way to a provider in the words for whoever waits for it: cause and next step come from the catalogue. */
import { asciiLine } from '../base/ascii-line.ts';
import type { PosternError } from '../base/error.ts';
import { shellWord } from '../base/shell.ts';
import { diagnose, remedyText } from '../oauth/catalogue/diagnose.ts';
import type { Mailbox } from '../store/types.ts';
import { upstreamError } from './errors.ts';
import { tooManySessions } from './session-limit.ts';

/**
 * The same failure as the mail program should take it: its app password was right, so nothing may look like a wrong one. Cause
 * and next step come from the catalogue, since the people who read a mail program's error seldom see our log.
 */
export function explain(
  error: PosternError,
  mailbox: Mailbox,
  application: string | undefined,
  holders: (address: string) => readonly string[],
): PosternError {
  const { address } = mailbox;
  const { code, kind, retryAt } = error;
  if (code === 'oauth.suspended')
    return mailboxClosed(typeof error.detail['reason'] === 'string' ? error.detail['reason'] : undefined, error);
  if (kind === 'bug' || code.startsWith('store.') || code.startsWith('gateway.')) return error;
  const named = application === undefined ? {} : { application };
  const { id, cause, passesWhen, remedy } = diagnose(error, {
    address,
    row: mailbox.catchAll ?? address,
    access: mailbox.access,
    protocols: mailbox.protocols.join(','),
    ...named,
  });
  const reply = error.detail['reply'];
  const more = `\`postern check ${shellWord(address)}\` says more`;
  const next = oneLine(remedyText(remedy.slice(0, 1)));
  const facts = {
    detail: { code, diagnosis: id, ...named, ...(reply === undefined ? {} : { reply }) },
    ...(retryAt === undefined ? {} : { retryAt }),
    cause: error,
  };
  const busy = POP3_BUSY.exec(typeof reply === 'string' ? reply : '')?.[1]?.toUpperCase();
  if (busy === 'IN-USE')
    return upstreamError('gateway.maildrop-in-use', `${address} is open in another POP3 session`, facts);
  if (busy === 'LOGIN-DELAY')
    return upstreamError('gateway.login-delay', `the provider does not open ${address} again so soon`, facts);
  const options = {
    ...facts,
    hint: `the app password is right; ${passesWhen === undefined ? lasts(id) : `this passes by itself when ${oneLine(passesWhen)}`}; ${next === '' || next.includes('postern check') ? more : `${next}; ${more}`}`,
  };
  const crowd = tooManySessions(id, address, holders(address));
  if (crowd !== undefined)
    return upstreamError('gateway.provider-unreachable', oneLine(crowd.text), {
      ...facts,
      detail: { ...facts.detail, diagnosis: crowd.diagnosis },
      hint: crowd.hint,
    });
  const why = oneLine(cause);
  if (code === 'sasl.refused')
    return upstreamError('gateway.provider-refused', `the provider does not let ${address} in: ${why}`, options);
  if (kind === 'denied')
    return upstreamError('gateway.consent-needed', deniedText(code, id, address, id === code ? '' : why), options);
  if (kind === 'misuse' || kind === 'refused')
    return upstreamError('gateway.misconfigured', `the provider of ${address} cannot be used: ${why}`, options);
  return upstreamError('gateway.provider-unreachable', `the provider of ${address} is not available: ${why}`, options);
}

/** Suspended, or removed. It is not the password that is wrong. */
export function mailboxClosed(reason?: string, cause?: PosternError): PosternError {
  return upstreamError('gateway.consent-needed', `the mailbox was closed${reason === undefined ? '' : `: ${reason}`}`, {
    hint: 'the app password is right; ask the person who runs this gateway, who opens it with `postern mailbox resume ADDRESS`',
    ...(cause === undefined ? {} : { cause, detail: { code: cause.code } }),
  });
}

/** RFC 2449 §8.1.1, §8.1.2. */
const POP3_BUSY = /^-ERR \[(IN-USE|LOGIN-DELAY)\]/i;

/**
 * What is the matter, by who has to act: a policy of the organisation, a device or a missing assignment is no consent that ended.
 * What no row of the catalogue says may quote the provider, which is for the log only.
 */
export function deniedText(code: string, row: string, address: string, why: string): string {
  const more = why === '' ? '' : `: ${why}`;
  if (code === 'oauth.admin-consent') return `the organisation does not let ${address} in${more}`;
  if (code === 'oauth.suspended') return `${address} is suspended here${more}`;
  if (code !== 'oauth.needs-consent' && code !== 'oauth.answer-lost') return `${address} is not let in${more}`;
  return why === '' || ENDED.has(row)
    ? `the consent for ${address} has ended${more}`
    : `${address} has to be signed in to again${more}`;
}

/** Rows of the catalogue where it is the consent itself that is over. */
const ENDED: ReadonlySet<string> = new Set([
  'oauth.lost-answer',
  'microsoft.grant-revoked',
  'microsoft.grant-inactive',
  'microsoft.grant-malformed',
  'microsoft.redirect-single-page',
  'google.grant-ended',
  'oauth.grant-ended',
  'oauth.no-refresh-token',
]);

/** A peer's words as part of one line of ours: printable, bounded. */
function oneLine(text: string): string {
  return asciiLine(text, 200);
}

/** A refusal without a reason says nothing of how long it holds: a setting at the provider, or its clock, may have been corrected. */
function lasts(id: string): string {
  return id === 'sasl.refused'
    ? 'the provider does not say why, so this may pass by itself or not'
    : 'this does not pass by itself';
}
