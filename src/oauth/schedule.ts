/** When tokens are renewed. Pure, and the same in every process for the same token. */
import { backoffMs } from '../base/backoff.ts';
import type { PosternError } from '../base/error.ts';

/** What is known of a token's life; milliseconds since the epoch. */
export interface Lifetime {
  readonly obtainedAt: number;
  readonly expiresAt: number;
}

/**
 * The duty of renewal comes between a third and a fifth of the token's life before its end, never earlier than twenty minutes
 * before: an hour's token is renewed in its 42nd to 50th minute. What expires together is renewed spread over that time, and
 * what goes wrong has ten minutes to pass before anybody notices.
 * @param keepAlive the grant ends unless it is renewed within `inactivityMs`, or by `endsAt`
 */
export function renewByDutyAt(
  grantId: string,
  { obtainedAt, expiresAt }: Lifetime,
  keepAlive: { readonly inactivityMs?: number | undefined; readonly endsAt?: number | undefined } = {},
): number {
  const ahead = Math.min((expiresAt - obtainedAt) * 0.3, AHEAD_MS);
  const byLife = expiresAt - ahead + spread(grantId, obtainedAt, 0.4 * ahead);
  // Tokens that live long are no reason to forget a grant: three tries within what the provider allows.
  const byActivity = obtainedAt + (keepAlive.inactivityMs ?? Infinity) / 3;
  const byEnd = keepAlive.endsAt === undefined ? Infinity : (obtainedAt + keepAlive.endsAt) / 2;
  return Math.round(Math.min(byLife, byActivity, byEnd));
}

const AHEAD_MS = 20 * 60_000;

/**
 * When a token that is asked for is renewed first: within five to six minutes of its end, never before half of its life. With
 * the duty at work this is never reached.
 */
export function renewOnUseAt(grantId: string, { obtainedAt, expiresAt }: Lifetime): number {
  const lifetime = expiresAt - obtainedAt;
  const margin = Math.min(MARGIN_MS + spread(grantId, obtainedAt, SPREAD_MS), lifetime / 2);
  return expiresAt - Math.max(margin, Math.min(LEAST_LEFT_MS, lifetime / 2));
}

const MARGIN_MS = 5 * 60_000;
const SPREAD_MS = 60_000;
/** Nobody is given less than this, unless a provider’s tokens do not live that long. */
export const LEAST_LEFT_MS = 60_000;

/**
 * A token from the future was dated by a clock that ran ahead and has been corrected since: its end is not known. The
 * tolerance is for the clocks of several machines.
 */
export function isFromTheFuture({ obtainedAt }: Pick<Lifetime, 'obtainedAt'>, now: number): boolean {
  return obtainedAt > now + CLOCK_TOLERANCE_MS;
}

export const CLOCK_TOLERANCE_MS = 5 * 60_000;

/**
 * When the duty tries again after a failure: what passes by itself within minutes, what somebody has to correct within the hour;
 * undefined when only the account's owner can help, and nobody may lift what stands in the way. The provider's own word (Retry-After) counts where it is later.
 */
export function retryByDutyAt(
  error: Pick<PosternError, 'code' | 'kind' | 'retryAt'> & Partial<Pick<PosternError, 'detail'>>,
  attempts: number,
  now: number,
): number | undefined {
  if (needsOwner(error) && error.detail?.['mayBeLifted'] !== true) return undefined;
  const pause = backoffMs(attempts, error.kind === 'later' ? PASSING : CORRECTING);
  return Math.max(now + pause, error.retryAt?.getTime() ?? 0);
}

/** Whether nothing but a new consent of the account's owner helps; what an administrator has to allow works again by itself. */
export function needsOwner(error: Pick<PosternError, 'code' | 'kind'>): boolean {
  return error.kind === 'denied' && error.code !== 'oauth.admin-consent';
}

const PASSING = { baseMs: 30_000, maxMs: 10 * 60_000 };
const CORRECTING = { baseMs: 5 * 60_000, maxMs: 60 * 60_000 };

/** A number in [0, width) from grant and token alone (FNV-1a). */
function spread(grantId: string, obtainedAt: number, width: number): number {
  let hash = obtainedAt >>> 0;
  for (let i = 0; i < grantId.length; i += 1) hash = Math.imul(hash ^ grantId.charCodeAt(i), 16_777_619) >>> 0;
  return (hash / 2 ** 32) * width;
}
