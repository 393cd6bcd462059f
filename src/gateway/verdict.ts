/** What a failure is called in metrics and logs, and what of it may be said outside. */
import { baseError, type PosternError } from '../base/error.ts';
import type { Verdict } from '../protocol/sign-in.ts';
import { gatewayError } from './errors.ts';

/** The code that says most: where one of ours stands for another room's, that one. */
export function codeOf(error: PosternError): string {
  const original = error.detail['code'];
  return typeof original === 'string' ? original : error.code;
}

/** A defect's own words are for the log. */
export function outward(error: PosternError): PosternError {
  return error.kind === 'bug' ? baseError('base.bug', 'an internal error, the log has more', { cause: error }) : error;
}

export function outcomeOf(verdict: Verdict): 'ok' | 'refused' | 'slowed' | 'failed' {
  if (verdict.type === 'accept') return 'ok';
  if (verdict.error.code === 'gateway.wrong-password') return 'refused';
  return verdict.error.code === 'gateway.slowed' ? 'slowed' : 'failed';
}

/** A user name that is no address may be a password in the wrong field, and is not written down. */
export function asAddress(user: string): string {
  return /^[^\s@]+@[^\s@]+$/.test(user) ? user.slice(0, 254) : '[no address]';
}

export function wrongPassword(): PosternError {
  return gatewayError('gateway.wrong-password', 'the user name or app password is not right');
}

/** @param retryAt milliseconds since the epoch */
export function slowed(retryAt: number): PosternError {
  return gatewayError('gateway.slowed', 'too many failed sign-ins, try again later', { retryAt: new Date(retryAt) });
}
