/** How a grant is doing and what will become of it, from what is stored alone. Pure: the same facts give the same answer. */
import { shellWord } from '../base/shell.ts';
import { rowOf } from '../store/table/mailboxes.ts';
import type { Application, Grant, Mailbox } from '../store/types.ts';
import { countdown, dayOf, endToTell } from './credential-ends.ts';
import { isAppOnly } from './flows.ts';
import { CLOCK_TOLERANCE_MS } from './schedule.ts';

/** Why mail will stop unless somebody acts. */
export type RiskCause =
  /** The last renewals failed; the stored token is good until it ends. */
  | 'renewal-failing'
  /** Every credential of the application ends soon. */
  | 'credential-expiring'
  | 'credential-expired'
  /** The provider announced an end that renewing does not move. */
  | 'consent-ending'
  /** Nobody renewed it for so long that the provider is about to forget it. */
  | 'inactive'
  /** Its token has ended and no server is running that would renew it. */
  | 'not-renewed';

export type GrantHealth =
  | { readonly type: 'healthy' }
  | {
      readonly type: 'at-risk';
      readonly cause: RiskCause;
      /** Plain words, lower case. */
      readonly reason: string;
      /** When mail stops if nothing happens, milliseconds since the epoch; a moment that has passed means it has stopped. */
      readonly at: number | undefined;
      readonly remedy: string;
      /** Our code of the failure, for `renewal-failing`. */
      readonly code?: string;
      /** Whether it passes by itself. */
      readonly passing: boolean;
    }
  | {
      readonly type: 'needs-consent';
      readonly since: number;
      readonly code: string;
      readonly reason: string;
      readonly remedy: string;
    }
  | { readonly type: 'suspended'; readonly since: number; readonly reason: string; readonly remedy: string };

export interface HealthFacts {
  readonly grant: Omit<Grant, 'tokens'>;
  readonly application: Pick<Application, 'name' | 'credentials'> | undefined;
  /** Of the application's provider. */
  readonly inactivityMs: number | undefined;
  /** One of its mailboxes, for the commands in remedies. */
  readonly mailbox: string | undefined;
}

/** Days before the end of the last credential at which people are told. */
export const CREDENTIAL_WARNING_DAYS = [30, 14, 7, 1] as const;
const DAY_MS = 86_400_000;

/** The end of mail that comes first decides what is said. */
export function grantHealth(facts: HealthFacts, now: number): GrantHealth {
  const { grant, mailbox = 'ADDRESS' } = facts;
  const { state } = grant;
  const remedy = `sign in again: postern mailbox reconsent ${shellWord(mailbox)}`;
  switch (state.type) {
    case 'needs-consent': {
      const { askAgainAt, code, reason, since, type } = state;
      const asked = 'the provider is asked again within the hour, should the organisation lift this rule';
      return { type, since, code, reason, remedy: askAgainAt === undefined ? remedy : `${remedy}; ${asked}` };
    }
    case 'pending':
    case 'revoked': {
      const { since, type: code } = state;
      const reason = code === 'pending' ? 'the consent was never finished' : 'the consent was revoked here';
      return { type: 'needs-consent', since, code, reason, remedy };
    }
    case 'suspended': {
      const { reason, since, type } = state;
      const again = `let its mailboxes work again: postern mailbox resume --grant ${shellWord(mailbox)}`;
      return { type, since, reason, remedy: again };
    }
    case 'active':
    case 'renewing':
      break;
  }
  const risks = [
    failing(facts, state.accessExpiresAt, now),
    credentialEnds(facts, now),
    consentEnds(facts, now),
    forgotten(facts, state.accessExpiresAt, now),
  ].filter((risk) => risk !== undefined);
  return risks.toSorted((a, b) => (a.at ?? Infinity) - (b.at ?? Infinity))[0] ?? { type: 'healthy' };
}

/** The health of one mailbox: as its grant's, unless the mailbox itself was closed on purpose. */
export function mailboxHealth(
  mailbox: Pick<Mailbox, 'address' | 'catchAll' | 'suspended'>,
  grant: GrantHealth | undefined,
): GrantHealth | undefined {
  const { suspended } = mailbox;
  if (!suspended) return grant;
  const remedy = `let it work again: postern mailbox resume ${shellWord(rowOf(mailbox))}`;
  return { type: 'suspended', ...suspended, remedy };
}

/** One word for tables, lists and labels. */
export const HEALTH_NAMES = ['healthy', 'at-risk', 'needs-consent', 'suspended'] as const;

type Risk = Extract<GrantHealth, { type: 'at-risk' }>;

/** One failed try that passes by itself is no news: the duty comes early enough to try again. */
const TRIES_BEFORE_NEWS = 3;

function failing({ grant }: HealthFacts, accessExpiresAt: number, now: number): Risk | undefined {
  const failure = grant.renewal?.failing;
  if (!failure) return undefined;
  const passing = failure.kind === 'later';
  if (passing && failure.attempts < TRIES_BEFORE_NEWS && accessExpiresAt > now) return undefined;
  const { code, reason, hint: remedy } = failure;
  return { type: 'at-risk', cause: 'renewal-failing', code, reason, at: accessExpiresAt, remedy, passing };
}

function credentialEnds({ application }: HealthFacts, now: number): Risk | undefined {
  const told = endToTell(application?.credentials ?? [], now);
  if (!application || !told) return undefined;
  const { undated, last } = told;
  const { expiresAt: end } = last;
  if (end - now > CREDENTIAL_WARNING_DAYS[0] * DAY_MS) return undefined;
  const over = end <= now;
  return {
    type: 'at-risk',
    cause: over ? 'credential-expired' : 'credential-expiring',
    reason: `the credential of application ${application.name} ${over ? `ended on ${dayOf(end)}` : `ends on ${dayOf(end)}, ${countdown(end, now)}`}${undated === 'none' ? '' : '; when its others end only the provider knows'}`,
    at: end,
    remedy: `make a new one at the provider, then: postern application credential add ${shellWord(application.name)} --client-secret-file FILE --secret-expires DATE`,
    passing: false,
  };
}

/** Announced this long before the end. */
const CONSENT_WARNING_MS = 3 * DAY_MS;

function consentEnds({ grant, mailbox = 'ADDRESS' }: HealthFacts, now: number): Risk | undefined {
  const { grantEndsAt: end, grantEndIsFixed } = grant.renewal ?? {};
  if (end === undefined || !grantEndIsFixed || end - now > CONSENT_WARNING_MS) return undefined;
  return {
    type: 'at-risk',
    cause: 'consent-ending',
    reason: `the provider ends this consent on ${dayOf(end)}, whatever we do`,
    at: end,
    remedy: `sign in again before: postern mailbox reconsent ${shellWord(mailbox)}`,
    passing: false,
  };
}

/** The duty has this long after a token's end before its absence is told. */
const ABSENCE_MS = 60 * 60_000;

function forgotten({ grant, inactivityMs }: HealthFacts, accessExpiresAt: number, now: number): Risk | undefined {
  const { renewedAt = grant.createdAt, failing: failure } = grant.renewal ?? {};
  const remedy = 'start the server, which renews it: postern serve';
  const end = inactivityMs === undefined || isAppOnly(grant.flow) ? Infinity : renewedAt + inactivityMs;
  // A third of the time is left, weeks at the providers we know.
  if (inactivityMs !== undefined && end - now < inactivityMs / 3) {
    const reason = `not renewed since ${dayOf(renewedAt)}; the provider forgets it on ${dayOf(end)}`;
    return { type: 'at-risk', cause: 'inactive', reason, at: end, remedy: failure?.hint ?? remedy, passing: false };
  }
  if (failure || now - accessExpiresAt < ABSENCE_MS || renewedAt > now + CLOCK_TOLERANCE_MS) return undefined;
  const reason = `its token ended on ${dayOf(accessExpiresAt)} and no server has renewed it since`;
  return { type: 'at-risk', cause: 'not-renewed', reason, at: undefined, remedy, passing: true };
}
