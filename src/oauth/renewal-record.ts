/** What is kept beside a grant's sealed tokens: how renewal goes and when it is due. Pure. */
import type { PosternError } from '../base/error.ts';
import type { Grant, RenewalFailure, RenewalRecord } from '../store/types.ts';
import type { TokenAnswer } from './engine.ts';
import { renewByDutyAt, retryByDutyAt } from './schedule.ts';

type Plan = Required<Pick<Grant, 'renewAt' | 'renewal'>>;

/** After a consent: whatever was known of the grant before is over. */
export function afterConsent(
  grantId: string,
  answer: TokenAnswer,
  inactivityMs: number | undefined,
  now: number,
): Plan {
  return planned(grantId, answer, inactivityMs, now, { consentedAt: now });
}

/** After new tokens. */
export function afterRenewal(
  grant: Pick<Grant, 'id' | 'createdAt' | 'renewal'>,
  answer: TokenAnswer,
  inactivityMs: number | undefined,
  now: number,
): Plan {
  const before = grant.renewal;
  return planned(grant.id, answer, inactivityMs, now, {
    consentedAt: before?.consentedAt ?? grant.createdAt,
    ...(isSameEnd(before, answer, now) ? { grantEndIsFixed: true } : {}),
    // Silence about a token that was not replaced changes nothing.
    ...(answer.refreshToken === undefined && before?.grantEndsAt !== undefined
      ? { grantEndsAt: before.grantEndsAt }
      : {}),
  });
}

function planned(
  grantId: string,
  answer: TokenAnswer,
  inactivityMs: number | undefined,
  now: number,
  facts: Omit<RenewalRecord, 'renewedAt'>,
): Plan {
  const endsAt = answer.refreshExpiresAt ?? facts.grantEndsAt;
  const renewal: RenewalRecord = { ...facts, renewedAt: now, ...(endsAt === undefined ? {} : { grantEndsAt: endsAt }) };
  const lifetime = { obtainedAt: now, expiresAt: answer.expiresAt };
  // An end that renewing does not move is no reason to renew.
  const keepAlive = { inactivityMs, endsAt: renewal.grantEndIsFixed ? undefined : endsAt };
  return { renewAt: renewByDutyAt(grantId, lifetime, keepAlive), renewal };
}

/**
 * Whether the grant's announced end stood still while time passed. Two answers within minutes of each other do not tell, and
 * then what was known stays.
 */
function isSameEnd(before: RenewalRecord | undefined, answer: TokenAnswer, now: number): boolean {
  if (before?.grantEndsAt === undefined) return false;
  if (answer.refreshExpiresAt === undefined) return answer.refreshToken === undefined;
  const passed = now - before.renewedAt;
  if (passed < 2 * TELLING_MS) return before.grantEndIsFixed === true;
  return Math.abs(answer.refreshExpiresAt - before.grantEndsAt) < TELLING_MS;
}

const TELLING_MS = 60_000;

/**
 * After a diagnosis that was refused. That alone ends nothing, because only a renewal does: it is due at once, and until then
 * everybody sees what the provider said.
 */
export function afterDoubt(
  grant: Pick<Grant, 'createdAt' | 'renewal'>,
  error: PosternError,
  providerCode: string | undefined,
  now: number,
): Plan {
  return { renewAt: now, renewal: { ...failed(grant, error, providerCode, now), doubted: true } };
}

/** After a failure; a person's matter is never tried again by itself. */
export function afterFailure(
  grant: Pick<Grant, 'createdAt' | 'renewal'>,
  error: PosternError,
  providerCode: string | undefined,
  now: number,
): Plan {
  const renewal = failed(grant, error, providerCode, now);
  return { renewAt: retryByDutyAt(error, renewal.failing.attempts - 1, now), renewal };
}

function failed(
  grant: Pick<Grant, 'createdAt' | 'renewal'>,
  error: PosternError,
  providerCode: string | undefined,
  now: number,
): RenewalRecord & { readonly failing: RenewalFailure } {
  const { doubted: _, ...before }: RenewalRecord = grant.renewal ?? {
    consentedAt: grant.createdAt,
    renewedAt: grant.createdAt,
  };
  const failing: RenewalFailure = {
    since: before.failing?.since ?? now,
    attempts: (before.failing?.attempts ?? 0) + 1,
    code: error.code,
    kind: error.kind,
    reason: error.message,
    hint: error.hint,
    ...(providerCode === undefined ? {} : { providerCode }),
  };
  return { ...before, failing };
}
