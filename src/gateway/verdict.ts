/** What a failure is called in metrics and logs, and what of it may be said outside. */
import type { Refusal } from '../access/types.ts';
import { baseError, type PosternError } from '../base/error.ts';
import type { Verdict } from '../protocol/sign-in.ts';
import { mailboxClosed } from '../upstream/explain.ts';
import { gatewayError } from './errors.ts';
import type { Ending } from './goodbye.ts';

/**
 * The code that says most: where one of ours stands for another room's, that one; the catalogue's where that would only say that
 * a provider's words were not those of the protocol, or its last ones.
 */
export function codeOf(error: PosternError): string {
  const { code: original, diagnosis } = error.detail;
  if (typeof original !== 'string') return error.code;
  return original.startsWith('wire.') && typeof diagnosis === 'string' ? diagnosis : original;
}

/** A defect's own words are for the log. */
export function outward(error: PosternError): PosternError {
  return error.kind === 'bug' ? baseError('base.bug', 'an internal error, the log has more', { cause: error }) : error;
}

const REFUSED: ReadonlySet<string> = new Set(['gateway.wrong-password', 'gateway.user-name']);

export function outcomeOf(verdict: Verdict): 'ok' | 'refused' | 'slowed' | 'failed' {
  if (verdict.type === 'accept') return 'ok';
  if (REFUSED.has(verdict.error.code)) return 'refused';
  return verdict.error.code === 'gateway.slowed' ? 'slowed' : 'failed';
}

/** 26 characters of the alphabet of app passwords: pasted into the wrong field, or after the address in one. */
const APP_PASSWORD = /[0-9a-hjkmnp-tv-z](?:-?[0-9a-hjkmnp-tv-z]){25}/i;

/** A user name that is no address may be a password in the wrong field, and is not written down. */
export function asAddress(user: string): string {
  const isAddress = user.length <= 254 && /^[^\s@]+@[a-z0-9.-]+$/i.test(user) && !APP_PASSWORD.test(user);
  return isAddress ? user : '[no address]';
}

export function wrongPassword(): PosternError {
  return gatewayError('gateway.wrong-password', 'the user name or app password is not right');
}

/** What to do about each reason of a refused sign-in, for whoever runs Postern: said in the log, and by `postern explain`. */
export const REFUSAL_NEXT: Readonly<Record<Refusal | 'slow-down', string>> = {
  'unknown-password':
    'make a new app password, which is shown once: postern password add --mailbox ADDRESS --label PROGRAM',
  'wrong-mailbox': 'see which mailboxes it opens, or correct the user name in the program: postern password list',
  'wrong-protocol':
    'see which protocols it is for, and make another one that includes this protocol: postern password list',
  'wrong-network':
    'see which networks it is for, and make another one for where the program is now: postern password list',
  expired: 'make a new one: postern password add --mailbox ADDRESS --label PROGRAM',
  revoked: 'make a new one if the program is still in use: postern password add --mailbox ADDRESS --label PROGRAM',
  'no-such-mailbox': 'correct the user name in the program; it is the address of the mailbox: postern mailbox list',
  'catch-all': 'give the program an address of the domain as user name, instead of *@domain',
  'slow-down': 'wait, and see which program has a wrong app password, by postern audit show --type signin.local',
};

/** What a refusal of our own says outside: one and the same, but to whom has the right password. */
export function refusedHere(reason: Refusal, user: string): PosternError {
  if (reason !== 'catch-all') return wrongPassword();
  return gatewayError('gateway.user-name', `${user} stands for every address of its domain and is no user name`);
}

/** What a sign-in under way is answered when its connection ends this way; undefined where it may go on. */
export function barredBy(ending: Ending): PosternError | undefined {
  if (ending === 'revoked') return wrongPassword();
  return ending === 'closed' ? mailboxClosed() : undefined;
}

/** @param retryAt milliseconds since the epoch */
export function slowed(retryAt: number): PosternError {
  return gatewayError('gateway.slowed', 'too many failed sign-ins, try again later', { retryAt: new Date(retryAt) });
}

/** Something of ours does not work just now: not the connection, not what the program sent. */
export function isAway({ code, kind }: PosternError): boolean {
  return kind === 'later' && !/^(?:wire|tls|sasl)\./.test(code);
}
