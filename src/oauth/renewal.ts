/**
 * One renewal of a grant's tokens: one refresher at a time across processes and machines, and the provider's answer sealed
 * and committed before anybody uses it.
 *
 *   lease → re-read → mark `renewing` → request → seal and commit → hand out
 *
 * A process that dies before the request loses nothing. One that dies after it sent the request and before it committed the
 * answer loses what the provider rotated meanwhile; with a provider that rotates strictly only a new consent helps. Between
 * the last octet of the answer and the commit there is nothing but sealing and the write.
 */
import type { RenewalDeps } from './renewal-deps.ts';
import { backoffMs } from '../base/backoff.ts';
import { asError, isError, type PosternError } from '../base/error.ts';
import type { Grant, GrantState, Lease } from '../store/types.ts';
import { checkAccessTokenAudience } from './access-token.ts';
import type { Client } from './engines.ts';
import type { TokenAnswer } from './engine.ts';
import { oauthError } from './errors.ts';
import { isAppOnly } from './flows.ts';
import { type GrantTokens, openTokens, sealTokens, tokensOf } from './grant-tokens.ts';
import { afterFailure, afterRenewal } from './renewal-record.ts';
import { providerCode, type RenewalPurpose, settleFailure } from './renewal-settle.ts';
import { compareScopes } from './scopes.ts';

/** What is stored for a grant, opened. */
export interface Renewed {
  readonly grant: Grant;
  readonly tokens: GrantTokens;
  /** False when stored tokens were fresh enough, and nothing was asked. */
  readonly requested: boolean;
}

/**
 * A killed refresher holds the others up this long; mail programs wait about a minute. A living one prolongs its lease, so a
 * slow provider does not cost it the lease; only a process that stood still for this long would.
 */
const LEASE_MS = 15_000;
const PROLONG_MS = 4000;
/** Who waits for a token hears after this that its answer cannot be stored; storing goes on for as long as the process lives. */
const STORE_MS = 120_000;
/** How long to wait for another process's renewal. */
const OTHER_REFRESHER_MS = 60_000;

/**
 * Tokens that `isFresh` accepts: those another process stored meanwhile, or new ones.
 * @param signal ends the wait for another process's renewal; a renewal of our own is never given up
 * @param purpose `diagnosis`: a refusal does not end the grant, but makes its next renewal due at once
 * @throws oauth.needs-consent, oauth.admin-consent, oauth.suspended (denied); oauth.provider-unreachable, oauth.provider-busy
 *   (later); oauth.misconfigured; store.*, vault.*
 */
export async function renew(
  deps: RenewalDeps,
  grantId: string,
  isFresh: (tokens: GrantTokens) => boolean,
  signal?: AbortSignal,
  purpose: RenewalPurpose = 'use',
): Promise<Renewed> {
  const giveUpAt = deps.clock.now() + OTHER_REFRESHER_MS;
  for (let attempt = 0; ; attempt += 1) {
    const stored = await readGrant(deps, grantId, asksAt(deps, purpose));
    if (stored.tokens && isSettled(stored.grant) && isFresh(stored.tokens))
      return { ...stored, tokens: stored.tokens, requested: false };
    const lease = await deps.store.leases.acquire(`grant/${grantId}`, deps.owner, LEASE_MS);
    if (lease) {
      const late = Promise.withResolvers<never>();
      const work = renewUnder(lease, { ...deps, late: (error) => late.reject(error) }, grantId, isFresh, purpose);
      work.catch((error: unknown) => deps.log.debug({ grantId, code: asError(error).code }, 'no new tokens'));
      return Promise.race([work, late.promise]);
    }
    if (deps.clock.now() >= giveUpAt) {
      throw oauthError('oauth.provider-unreachable', 'another process has been renewing this grant for too long', {
        hint: 'wait; if it stays, look at the other Postern processes that share this database',
      });
    }
    await deps.clock.sleep(backoffMs(attempt, { baseMs: 20, maxMs: 500 }), signal);
  }
}

/** A renewal whose answer cannot be stored goes on, and `late` tells who waits for it. */
interface UnderLease extends RenewalDeps {
  late(error: PosternError): void;
}

async function renewUnder(
  lease: Lease,
  deps: UnderLease,
  grantId: string,
  isFresh: (tokens: GrantTokens) => boolean,
  purpose: RenewalPurpose,
): Promise<Renewed> {
  const alive = keepLease(lease, deps);
  try {
    deps.atStep?.('leased');
    const { grant, tokens } = await readGrant(deps, grantId, asksAt(deps, purpose));
    if (tokens && isSettled(grant) && isFresh(tokens)) return { grant, tokens, requested: false };
    return await request(lease, deps, grant, tokens, purpose);
  } finally {
    alive.stop();
    await deps.store.leases.release(lease).catch((error: unknown) => {
      deps.log.warn(
        { grantId, error: asError(error).code },
        'a lease could not be released and will run out by itself',
      );
    });
    deps.atStep?.('released');
  }
}

/** Whoever diagnoses asks now; others when it is time to ask again. */
function asksAt({ clock }: RenewalDeps, purpose: RenewalPurpose): number {
  return purpose === 'diagnosis' ? Infinity : clock.now();
}

/** One that the provider refused, a renewal or a diagnosis, is asked for again, however good its last token is. */
const isSettled = ({ state, renewal }: Grant): boolean =>
  (state.type === 'active' || state.type === 'renewing') && renewal?.doubted !== true;

/** Prolongs the lease until stopped. A lease that is lost shows when the answer is committed. */
function keepLease(lease: Lease, deps: RenewalDeps): { stop(): void } {
  let stopped = false;
  const beat = async (): Promise<void> => {
    try {
      await deps.store.leases.renew(lease, LEASE_MS);
    } catch (error) {
      deps.log.warn({ lease: lease.name, error: asError(error).code }, 'a lease could not be prolonged just now');
    }
    if (!stopped) timer = deps.clock.after(PROLONG_MS, start);
  };
  const start = (): void => void beat();
  let timer = deps.clock.after(PROLONG_MS, start);
  return {
    stop() {
      stopped = true;
      timer.cancel();
    },
  };
}

async function request(
  lease: Lease,
  deps: UnderLease,
  grant: Grant,
  old: GrantTokens | undefined,
  purpose: RenewalPurpose,
): Promise<Renewed> {
  const client = await deps.client(grant.applicationId);
  if (!isAppOnly(grant.flow) && !old?.refreshToken) {
    const error = oauthError(
      'oauth.needs-consent',
      'the access token has expired and the provider gave no refresh token',
      {
        detail: { error: 'no_refresh_token' },
      },
    );
    await settleFailure(lease, deps, { before: grant, now: grant, purpose }, old, error);
    throw error;
  }
  const passage = deps.circuits.enter(askedServer(grant, client));
  const marked = await mark(lease, deps, grant, old).catch((error: unknown) => {
    passage.unused();
    throw error;
  });
  deps.atStep?.('marked');
  const startedAt = deps.clock.now();
  let answer: TokenAnswer;
  try {
    answer =
      old?.refreshToken && !isAppOnly(grant.flow)
        ? await client.delegated.refresh(old.refreshToken, grant.scopes)
        : await client.appOnly.appOnly(grant.scopes, grant.flow === 'service-account' ? grant.identity : undefined);
    passage.answered();
  } catch (thrown) {
    const error = asLostAnswer(asDenial(asError(thrown), grant), grant);
    passage.failed(error);
    await settleFailure(lease, deps, { before: grant, now: marked, purpose, client }, old, error);
    await report(deps, grant, startedAt, error);
    throw error;
  }
  deps.atStep?.('answered');
  const now = deps.clock.now();
  const tokens = tokensOf(answer, old, now);
  const unusable = audienceError(answer, client);
  if (unusable !== undefined) {
    // The refresh token may have been replaced with this answer and must not be lost; the access token stays as it was.
    if (old === undefined) await settleFailure(lease, deps, { before: grant, now: marked, purpose }, old, unusable);
    else {
      const kept = { ...old, refreshToken: tokens.refreshToken };
      await commit(lease, deps, marked, kept, afterFailure(grant, unusable, undefined, now));
    }
    await report(deps, grant, startedAt, unusable);
    throw unusable;
  }
  const inactivityMs = isAppOnly(grant.flow) ? undefined : client.profile.inactivityMs;
  const renewed = await commit(lease, deps, marked, tokens, afterRenewal(grant, answer, inactivityMs, now));
  deps.atStep?.('committed');
  await report(deps, grant, startedAt, undefined);
  if (grant.state.type === 'needs-consent') {
    const reason = 'the provider gives tokens again without a new consent';
    await deps.emit({ type: 'grant.changed', grantId: grant.id, from: grant.state.type, to: 'active', reason });
  }
  await reportScopes(deps, grant, client, tokens);
  return renewed;
}

/** Why the mail servers would refuse this token; judged before it replaces one that works. */
function audienceError(answer: TokenAnswer, { profile }: Client): PosternError | undefined {
  try {
    checkAccessTokenAudience(answer.accessToken, profile);
    return undefined;
  } catch (error) {
    return asError(error);
  }
}

/** What goes down with the circuit. A managed identity asks its own machine. */
function askedServer(grant: Grant, client: Client): string {
  return grant.flow === 'managed-identity'
    ? 'this machine’s managed identity endpoint'
    : client.profile.authorizationServer;
}

/**
 * Reads a grant that may be used.
 * @param asksAt when the provider would be asked: one that refused may have to be asked again by then
 * @throws oauth.needs-consent, oauth.suspended
 */
export async function readGrant(
  deps: Pick<RenewalDeps, 'store' | 'vault'>,
  grantId: string,
  asksAt = 0,
): Promise<{ grant: Grant; tokens: GrantTokens | undefined }> {
  const grant = await deps.store.grants.find(grantId);
  if (!grant) throw oauthError('oauth.needs-consent', 'the grant of this mailbox is gone', { detail: { grantId } });
  const { state } = grant;
  switch (state.type) {
    case 'needs-consent':
      if (state.askAgainAt !== undefined && asksAt >= state.askAgainAt) break;
      throw oauthError('oauth.needs-consent', state.reason, {
        detail: { grantId, reason: state.code, since: state.since },
      });
    case 'suspended':
      throw oauthError('oauth.suspended', `this grant is suspended: ${state.reason}`, {
        detail: { grantId, since: state.since, reason: state.reason },
      });
    case 'revoked':
      throw oauthError('oauth.needs-consent', 'the consent was revoked', { detail: { grantId, since: state.since } });
    case 'pending':
      throw oauthError('oauth.needs-consent', 'the consent was never finished', {
        detail: { grantId, since: state.since },
      });
    case 'active':
    case 'renewing':
      break;
  }
  return { grant, tokens: await openTokens(deps.vault, grant) };
}

/** Says durably that a renewal is under way, so that after a crash it is known that an answer may have been lost. */
async function mark(lease: Lease, deps: RenewalDeps, grant: Grant, old: GrantTokens | undefined): Promise<Grant> {
  const state: GrantState = { type: 'renewing', since: deps.clock.now(), accessExpiresAt: old?.expiresAt ?? 0 };
  const outcome = await deps.store.grants.update(grant.id, grant.generation, { state }, lease);
  if (outcome === 'written') return { ...grant, state, generation: grant.generation + 1 };
  throw oauthError('oauth.provider-busy', 'the grant changed while its renewal began', {
    detail: { outcome },
    retryAt: new Date(deps.clock.now()),
  });
}

/**
 * Stores the new tokens. The answer may carry the only copy of a rotated refresh token, so a database that is away is tried
 * again until it is back, a lost lease is taken back, and what another refresher learnt with the old token meanwhile gives way.
 */
async function commit(
  lease: Lease,
  deps: UnderLease,
  grant: Grant,
  tokens: GrantTokens,
  plan: Pick<Grant, 'renewAt' | 'renewal'>,
): Promise<Renewed> {
  const now = deps.clock.now();
  const sealed = await sealTokens(deps.vault, grant.id, tokens);
  const state: GrantState = { type: 'active', since: now, accessExpiresAt: tokens.expiresAt };
  const lateAt = now + STORE_MS;
  let change: Partial<Grant> = { tokens: sealed, state, ...plan };
  let before = grant;
  let held = lease;
  for (let attempt = 0; ; attempt += 1) {
    const outcome = await store(deps, before, change, held).catch(asError);
    if (outcome === 'written') {
      const { generation } = before;
      return { grant: { ...before, ...change, generation: generation + 1 }, tokens, requested: true };
    }
    if (outcome === 'changed-meanwhile') return readWritten(deps, grant.id);
    if (!isError(outcome) && outcome !== 'lease-lost') {
      before = outcome;
      if (isClosed(before)) change = { tokens: sealed };
      continue;
    }
    if (outcome !== 'lease-lost' && outcome.kind !== 'later') throw outcome;
    if (deps.clock.now() >= lateAt) {
      deps.late(
        outcome === 'lease-lost'
          ? oauthError(
              'oauth.provider-unreachable',
              'the lease of this grant was lost while its new tokens were being stored',
            )
          : outcome,
      );
    }
    deps.log.warn(
      { grantId: grant.id, attempt, reason: outcome === 'lease-lost' ? outcome : outcome.code },
      'the new tokens could not be stored yet',
    );
    if (attempt > 0) await deps.clock.sleep(backoffMs(attempt, { baseMs: 100, maxMs: 5000 }));
    if (outcome === 'lease-lost') {
      held = (await deps.store.leases.acquire(lease.name, deps.owner, LEASE_MS).catch(() => undefined)) ?? held;
    }
  }
}

/** Somebody closed it on purpose: it stays so, with the tokens that are good once it is open again. */
const isClosed = ({ state }: Grant): boolean => state.type === 'suspended' || state.type === 'revoked';

/** The grant as it is now where somebody changed it and its tokens are those from before: ours are newer. */
async function store(
  deps: RenewalDeps,
  before: Grant,
  change: Partial<Grant>,
  lease: Lease,
): Promise<'written' | 'changed-meanwhile' | 'lease-lost' | Grant> {
  const outcome = await deps.store.grants.update(before.id, before.generation, change, lease);
  if (outcome !== 'changed-meanwhile') return outcome;
  const now = await deps.store.grants.find(before.id);
  const isOld = now !== undefined && Buffer.compare(now.tokens ?? NONE, before.tokens ?? NONE) === 0;
  // Otherwise a new consent, or another refresher, was faster: its tokens count. Or they are ours, and that answer was lost.
  return isOld ? now : outcome;
}

const NONE = new Uint8Array();

async function readWritten(deps: RenewalDeps, grantId: string): Promise<Renewed> {
  const { grant, tokens } = await readGrant(deps, grantId);
  if (tokens) return { grant, tokens, requested: true };
  throw oauthError('oauth.needs-consent', 'the grant lost its tokens', { detail: { grantId } });
}

/**
 * `renewing` before we began: an earlier refresher died, or its machine did, between its request and the commit. When the
 * provider then knows the refresh token no more, the answer that replaced it went with that refresher.
 */
function asLostAnswer(error: PosternError, { state }: Grant): PosternError {
  if (error.code !== 'oauth.needs-consent' || state.type !== 'renewing') return error;
  const since = new Date(state.since).toISOString();
  return oauthError(
    'oauth.answer-lost',
    `the provider replaced the refresh token in a renewal at ${since} that was cut off (process killed, power or network lost), and its answer never arrived`,
    // Not the provider's numbers: they say what is true of a token that was never valid.
    { detail: { interruptedAt: since, provider: providerCode(error) }, hint: error.hint },
  );
}

/** App-only grants have nobody who could sign in: what the provider refuses there is the registration’s matter. */
function asDenial(error: PosternError, grant: Grant): PosternError {
  if (error.code !== 'oauth.needs-consent' || !isAppOnly(grant.flow)) return error;
  return oauthError('oauth.misconfigured', error.message, { detail: error.detail, hint: error.hint, cause: error });
}

async function report(
  deps: RenewalDeps,
  grant: Grant,
  startedAt: number,
  error: PosternError | undefined,
): Promise<void> {
  await deps.emit({
    type: 'token.requested',
    grantId: grant.id,
    applicationId: grant.applicationId,
    flow: grant.flow,
    purpose: 'renewal',
    outcome: error ? 'failed' : 'ok',
    code: error?.code,
    providerCode: error ? providerCode(error) : undefined,
    durationMs: deps.clock.now() - startedAt,
  });
}

async function reportScopes(deps: RenewalDeps, grant: Grant, client: Client, tokens: GrantTokens): Promise<void> {
  if (isAppOnly(grant.flow)) return;
  const { extra } = compareScopes(grant.scopes, tokens.scopes);
  if (extra.length === 0) return;
  deps.log.warn({ grantId: grant.id, extra }, 'the provider granted more than was asked for');
  await deps.emit({ type: 'scopes.broader', grantId: grant.id, applicationId: client.application.id, extra });
}
