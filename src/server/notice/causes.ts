/** What people should know at a moment, each cause once. Pure. */
import type { NoticeBody } from './notice-body.ts';
import { shellWord } from '../../base/shell.ts';
import { countdown, endToTell } from '../../oauth/credential-ends.ts';
import { CREDENTIAL_WARNING_DAYS } from '../../oauth/health.ts';
import type { Application } from '../../store/types.ts';
import { type OutboxTrouble, outboxNotices } from './outbox.ts';
import type { Survey, SurveyedGrant } from '../../oauth/survey.ts';

/** What passes is told when it has not passed for so long. */
const PATIENCE_MS = 15 * 60_000;
const MAX_NAMED = 50;
const DAY_MS = 86_400_000;

/** So many mailboxes of one application with the same trouble are told of together. */
const MANY = 20;

/**
 * By cause: while a cause is in this map it is told once, and when it is gone that is told.
 * @param told causes that are open now: what was told of together is, until nothing of it is left
 */
export function noticesOf(
  survey: Survey,
  now: number,
  told: ReadonlySet<string>,
  outbox?: OutboxTrouble,
): ReadonlyMap<string, NoticeBody> {
  const notices = new Map(outbox ? outboxNotices(outbox, now) : []);
  const passing: SurveyedGrant[] = [];
  const failing: SurveyedGrant[] = [];
  const owners: SurveyedGrant[] = [];
  const blocked: SurveyedGrant[] = [];
  for (const one of survey.grants.values()) {
    // A grant without mailboxes is nobody's loss.
    if (one.mailboxes.length === 0) continue;
    const { health } = one;
    if (health.type === 'needs-consent') owners.push(one);
    // What a diagnosis was refused is asked again within seconds, and then it is known whose matter it is.
    if (health.type !== 'at-risk' || one.grant.renewal?.doubted === true) continue;
    if (health.cause === 'consent-ending') notices.set(`ending/${one.grant.id}`, ending(one));
    else if (health.cause === 'inactive') notices.set(`inactive/${one.grant.id}`, ending(one));
    else if (health.code === 'oauth.admin-consent') blocked.push(one);
    else if (health.cause === 'renewal-failing') (health.passing ? passing : failing).push(one);
  }
  for (const [kind, all, body] of [
    ['consent', owners, consentNeeded],
    ['blocked', blocked, blockedBy],
  ] as const) {
    for (const [application, members] of Map.groupBy(all, ({ grant }) => grant.applicationId)) {
      const together = `${kind}-many/${application}`;
      if (members.length > MANY || told.has(together)) notices.set(together, body(members));
      else for (const one of members) notices.set(`${kind}/${one.grant.id}`, body([one]));
    }
  }
  for (const [authority, members] of Map.groupBy(passing, (one) => one.authority ?? 'the provider')) {
    const since = Math.min(...members.map(({ grant }) => grant.renewal?.failing?.since ?? now));
    if (now - since >= PATIENCE_MS) notices.set(`provider/${authority}`, outage(authority, members, since));
  }
  for (const [id, members] of Map.groupBy(failing, (one) => one.grant.applicationId)) {
    notices.set(`application/${id}`, applicationFails(members));
  }
  for (const application of survey.applications) {
    const found = credentialEnds(application, survey, now);
    if (found) notices.set(found.cause, found.body);
  }
  return notices;
}

/**
 * What is over without being well again. A later warning about the same end takes the place of an earlier one, and one about many that of one
 * about each; a message that failed is told once and stays failed.
 */
export function isSuperseded(cause: string, body: NoticeBody, current: ReadonlyMap<string, NoticeBody>): boolean {
  const [kind, ...about] = cause.split('/');
  if (kind === 'credential') {
    const same = `credential/${about.slice(0, 2).join('/')}/`;
    return [...current.keys()].some((other) => other.startsWith(same));
  }
  if (kind === 'outbox-failed') return true;
  if (kind !== 'consent' && kind !== 'blocked') return false;
  return [...current].some(
    ([other, { application }]) => other.startsWith(`${kind}-many/`) && application === body.application,
  );
}

function consentNeeded(members: readonly SurveyedGrant[]): NoticeBody {
  const health = members[0]!.health;
  if (health.type !== 'needs-consent') throw new TypeError('asked about a grant that is well');
  const { code, reason, remedy } = health;
  const many = members.length > 1;
  return {
    type: 'grant.needs-consent',
    summary: many
      ? `${addresses(members)} have to be signed in to again; the first: ${reason}`
      : `${addresses(members)} has to be signed in to again: ${reason}`,
    reason,
    remedy: many
      ? 'postern mailbox list says which; each owner signs in again: postern mailbox reconsent ADDRESS --link'
      : remedy,
    code,
    ...about(members),
  };
}

/** Nothing its owner could do. */
function blockedBy(members: readonly SurveyedGrant[]): NoticeBody {
  const health = members[0]!.health;
  if (health.type !== 'at-risk') throw new TypeError('asked about a grant that is well');
  return {
    type: 'grant.blocked',
    summary: `an administrator has to let ${addresses(members)} in again: ${health.reason}`,
    reason: health.reason,
    remedy: health.remedy,
    deadline: iso(earliest(members)),
    ...about(members),
  };
}

function ending(one: SurveyedGrant): NoticeBody {
  const { health } = one;
  if (health.type !== 'at-risk') throw new TypeError('asked about a grant that is well');
  return {
    type: health.cause === 'inactive' ? 'grant.inactive' : 'grant.consent-ending',
    summary: `mail of ${addresses([one])} will stop: ${health.reason}`,
    reason: health.reason,
    remedy: health.remedy,
    ...(health.at === undefined ? {} : { deadline: iso(health.at) }),
    ...about([one]),
  };
}

function outage(authority: string, members: readonly SurveyedGrant[], since: number): NoticeBody {
  const reason = members[0]?.grant.renewal?.failing?.reason ?? 'it does not answer';
  return {
    type: 'provider.failing',
    summary: `${authority} has given no tokens to ${addresses(members)} since ${iso(since)}: ${reason}`,
    reason,
    remedy: 'this passes by itself; check the network and the provider’s status page if it lasts',
    deadline: iso(earliest(members)),
    provider: authority,
    ...about(members),
  };
}

function applicationFails(members: readonly SurveyedGrant[]): NoticeBody {
  const { health, application } = members[0]!;
  if (health.type !== 'at-risk') throw new TypeError('asked about a grant that is well');
  return {
    type: 'application.failing',
    summary: `the provider refuses application ${application?.name ?? '?'}: ${health.reason}`,
    reason: health.reason,
    remedy: health.remedy,
    deadline: iso(earliest(members)),
    ...(health.code === undefined ? {} : { code: health.code }),
    ...about(members),
  };
}

function credentialEnds(
  application: Application,
  survey: Survey,
  now: number,
): { cause: string; body: NoticeBody } | undefined {
  const told = endToTell(application.credentials ?? [], now);
  if (!told) return undefined;
  const { undated, last } = told;
  const { expiresAt: end } = last;
  const left = end - now;
  const stage = left <= 0 ? 0 : CREDENTIAL_WARNING_DAYS.findLast((days) => left <= days * DAY_MS);
  if (stage === undefined) return undefined;
  const { name } = application;
  const date = iso(end).slice(0, 10);
  const when = stage === 0 ? `ended on ${date}` : `ends on ${date}, ${countdown(end, now)}`;
  const members = [...survey.grants.values()].filter(({ grant }) => grant.applicationId === application.id);
  return {
    cause: `credential/${application.id}/${end}/${stage}`,
    body: {
      type: 'credential.ending',
      summary: `the last credential of application ${name}${undated === 'none' ? '' : ' whose end is known'} ${when}`,
      reason: 'without a valid credential the provider gives no tokens to any of its mailboxes',
      remedy: `make a new one at the provider, then: postern application credential add ${shellWord(name)} --client-secret-file FILE --secret-expires DATE; both work side by side`,
      deadline: iso(end),
      application: name,
      ...about(members),
    },
  };
}

function about(members: readonly SurveyedGrant[]): Pick<NoticeBody, 'mailboxes' | 'mailboxCount' | 'application'> {
  const all = members.flatMap(({ mailboxes }) => mailboxes.map(({ address }) => address)).toSorted();
  const names = new Set(members.flatMap(({ application }) => application?.name ?? []));
  return {
    mailboxes: all.slice(0, MAX_NAMED),
    mailboxCount: all.length,
    ...(names.size === 1 ? { application: [...names][0]! } : {}),
  };
}

function addresses(members: readonly SurveyedGrant[]): string {
  const all = members.flatMap(({ mailboxes }) => mailboxes.map(({ address }) => address));
  return all.length === 1 ? all[0]! : `${all.length} mailboxes`;
}

function earliest(members: readonly SurveyedGrant[]): number {
  return Math.min(...members.map(({ health }) => (health.type === 'at-risk' ? (health.at ?? Infinity) : Infinity)));
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
