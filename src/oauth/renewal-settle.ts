/** What is written down of a renewal that failed. */
import { asError, isError, type PosternError } from '../base/error.ts';
import type { Grant, GrantState, Lease } from '../store/types.ts';
import { isAppOnly } from './flows.ts';
import { rowOf } from '../store/table/mailboxes.ts';
import { withRemedy } from './catalogue/diagnose.ts';
import { applicationFacts } from './catalogue/facts.ts';
import type { Client } from './engines.ts';
import type { GrantTokens } from './grant-tokens.ts';
import type { RenewalDeps } from './renewal-deps.ts';
import { afterDoubt, afterFailure } from './renewal-record.ts';
import { needsOwner } from './schedule.ts';

/** What is asked for: a token to use, or only how the provider answers. */
export type RenewalPurpose = 'use' | 'diagnosis';

export interface Asked {
  /** As it was before the request was marked, and as it is now. */
  readonly before: Grant;
  readonly now: Grant;
  readonly purpose: RenewalPurpose;
  /** Whom the provider refused; undefined when it was not asked. */
  readonly client?: Pick<Client, 'application'>;
}

/** What needs a person is written down; what passes leaves the grant as it was. A refused diagnosis makes a renewal due at once. */
export async function settleFailure(
  lease: Lease,
  deps: Pick<RenewalDeps, 'clock' | 'emit' | 'log' | 'store'>,
  { before, now: grant, purpose, client }: Asked,
  old: GrantTokens | undefined,
  thrown: PosternError,
): Promise<void> {
  const error = client ? await withNames(deps, grant, client, thrown) : thrown;
  if (purpose === 'diagnosis') return putBack(lease, deps, before, grant, error);
  const now = deps.clock.now();
  const since = before.state.type === 'needs-consent' ? before.state.since : now;
  const plan = afterFailure(grant, error, providerCode(error), now);
  const state: GrantState =
    // An app-only grant has no consent to renew, and what an administrator corrects works again by itself.
    needsOwner(error) && !isAppOnly(grant.flow)
      ? {
          type: 'needs-consent',
          since,
          code: stateCode(error),
          reason: error.message,
          ...(plan.renewAt === undefined ? {} : { askAgainAt: plan.renewAt }),
        }
      : // Whatever was in the way of the question, the last answer still counts.
        before.state.type === 'needs-consent'
        ? { ...before.state, ...(plan.renewAt === undefined ? {} : { askAgainAt: plan.renewAt }) }
        : { type: 'active', since: now, accessExpiresAt: old?.expiresAt ?? 0 };
  const outcome = await deps.store.grants.update(grant.id, grant.generation, { state, ...plan }, lease).catch(asError);
  if (outcome !== 'written') {
    deps.log.warn(
      { grantId: grant.id, outcome: isError(outcome) ? outcome.code : outcome },
      'the outcome of a failed renewal could not be stored',
    );
  } else if (state.type === 'needs-consent' && before.state.type !== 'needs-consent') {
    deps.log.warn({ grantId: grant.id, code: error.code, reason: error.message }, 'a grant needs a new consent');
    await deps.emit({
      type: 'grant.changed',
      grantId: grant.id,
      from: 'active',
      to: state.type,
      reason: error.message,
    });
  }
}

/** Those who read it later see whom the next step is about. What is not the provider's word has a hint of its own. */
async function withNames(
  { store }: Pick<RenewalDeps, 'store'>,
  grant: Grant,
  { application }: Pick<Client, 'application'>,
  error: PosternError,
): Promise<PosternError> {
  if (providerCode(error) === undefined) return error;
  const mailboxes = await store.mailboxes.byGrant(grant.id).catch(() => []);
  const [mailbox] = mailboxes;
  if (!mailbox) return withRemedy(error, applicationFacts(application, grant.identity));
  const { access, address, protocols } = mailbox;
  return withRemedy(error, {
    ...applicationFacts(application, address),
    row: rowOf(mailbox),
    access,
    protocols: protocols.join(','),
  });
}

/** A look changes no state: what is not merely away is asked for again at once by a renewal, which decides for everybody. */
async function putBack(
  lease: Lease,
  deps: Pick<RenewalDeps, 'clock' | 'log' | 'store'>,
  before: Grant,
  marked: Grant,
  error: PosternError,
): Promise<void> {
  const { state } = before;
  if (marked.state === state) return;
  const doubtful = error.kind !== 'later' && state.type !== 'needs-consent';
  const change = {
    state,
    ...(doubtful ? afterDoubt(before, error, providerCode(error), deps.clock.now()) : {}),
  };
  const outcome = await deps.store.grants.update(marked.id, marked.generation, change, lease).catch(asError);
  if (outcome === 'written') return;
  deps.log.warn(
    { grantId: marked.id, outcome: isError(outcome) ? outcome.code : outcome },
    'a grant could not be put back after a diagnosis',
  );
}

/** What a grant that waits for its owner keeps: the provider's word, unless we know better. */
function stateCode(error: PosternError): string {
  return error.code === 'oauth.answer-lost' ? error.code : (providerCode(error) ?? error.code);
}

/** The provider's own word: `invalid_grant`, with AADSTS numbers where there are any. */
export function providerCode(error: PosternError): string | undefined {
  const { error: word, error_codes: codes } = error.detail;
  if (typeof word !== 'string') return undefined;
  return Array.isArray(codes) && codes.length > 0
    ? `${word} ${codes.map((code) => `AADSTS${String(code)}`).join(' ')}`
    : word;
}
