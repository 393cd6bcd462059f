/**
 * Renewal as a duty: every grant is renewed ahead of its end, whether anybody asks or not, so that mail programs never wait for
 * a token and a grant that nobody uses stays alive.
 *
 * Due grants are claimed from the store, so any number of processes share the work and the claims of a killed one come back
 * within half a minute. The lease inside {@link renew} remains what keeps a grant from being renewed twice. However many grants are
 * due, one authorization server sees a bounded stream; while its circuit is open it sees one probe at a time.
 */
import { backoffMs } from '../base/backoff.ts';
import { asError, type PosternError } from '../base/error.ts';
import type { Application, Grant } from '../store/types.ts';
import type { GrantTokens } from './grant-tokens.ts';
import { oauthError } from './errors.ts';
import { isAppOnly } from './flows.ts';
import { type JumpWatch, watchForJumps } from './jump-watch.ts';
import { Lane, type LaneLimits } from './lane.ts';
import { resolveProvider } from './provider.ts';
import { renew, type Renewed } from './renewal.ts';
import type { RenewalDeps } from './renewal-deps.ts';
import { CLOCK_TOLERANCE_MS, isFromTheFuture, renewByDutyAt } from './schedule.ts';

export type RenewalDuty = Readonly<Pick<Duty, 'inFlight' | 'rounds' | 'stop'>>;

export const DEFAULT_LIMITS: LaneLimits = { concurrency: 8, rate: 25 };

export function startRenewalDuty(deps: RenewalDeps, limits: Partial<LaneLimits> = {}): RenewalDuty {
  return new Duty(deps, { ...DEFAULT_LIMITS, ...limits });
}

/** How often to look at least, also for a clock that jumped. */
const LOOK_MS = 20_000;
/** How soon to look again at most, so that a fast server does not cost a query per answer. */
const LEAST_PAUSE_MS = 40;
/** A claim that nobody settled comes back after this. Whoever takes it while the first is still at work waits at the lease. */
const CLAIM_MS = 20_000;
/** After waking up the network needs a moment: failures now would only open circuits. */
const SETTLE_MS = 5000;
/** Without a Retry-After a busy server is left alone for this long. */
const BUSY_MS = 5000;
const STORE_AWAY = { baseMs: 1000, maxMs: 30_000 };

class Duty {
  readonly #deps: RenewalDeps;
  readonly #limits: LaneLimits;
  readonly #jumps: JumpWatch;
  readonly #lanes = new Map<string, Lane>();
  readonly #profiles = new Map<string, { readonly inactivityMs: number | undefined }>();
  /** By grant: a claim of ours that ran out meanwhile is no second piece of work. */
  readonly #work = new Map<string, Promise<void>>();
  readonly #watch: { stop(): void };
  readonly #running: Promise<void>;
  #applications: 'known' | 'changed' | 'unknown' = 'unknown';
  #settleUntil = 0;
  #wake: () => void = () => undefined;
  readonly #stopping = new AbortController();
  /** Rounds of looking for work that have ended; with {@link inFlight} it tells a test that all is done. */
  rounds = 0;

  constructor(deps: RenewalDeps, limits: LaneLimits) {
    this.#deps = deps;
    this.#limits = limits;
    this.#jumps = watchForJumps(deps.clock);
    this.#watch = deps.store.watch('applications', () => {
      if (this.#applications === 'known') this.#applications = 'changed';
      this.#wake();
    });
    this.#running = this.#run();
  }

  /** Requests under way. */
  get inFlight(): number {
    return this.#work.size;
  }

  /** Starts nothing more and waits for what is under way, whose answers must be stored. */
  async stop(): Promise<void> {
    this.#stopping.abort(oauthError('oauth.provider-busy', 'this process is shutting down'));
    this.#watch.stop();
    this.#wake();
    await this.#running;
    await Promise.all(this.#work.values());
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#stopping.signal.aborted;) {
      let pause = LOOK_MS;
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      try {
        pause = await this.#round();
        failures = 0;
      } catch (error) {
        // The store is away: nothing is lost, what was due is due later.
        this.#deps.log.warn({ code: asError(error).code, error: asError(error).message }, 'cannot look for due grants');
        pause = backoffMs(failures++, STORE_AWAY);
      }
      this.rounds += 1;
      if (this.#stopping.signal.aborted) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = this.#deps.clock.after(Math.max(pause, LEAST_PAUSE_MS), resolve);
      await Promise.race([promise, woken]);
      timer.cancel();
    }
  }

  /** Starts what may start now; says in how many milliseconds to look again. */
  async #round(): Promise<number> {
    await this.#lookAtClock();
    const settling = this.#settleUntil - this.#deps.clock.now();
    if (settling > 0) return settling;
    if (this.#applications !== 'known') await this.#readApplications();
    let pause = LOOK_MS;
    for (const lane of this.#lanes.values()) {
      if (this.#stopping.signal.aborted) return pause;
      pause = Math.min(pause, await this.#fill(lane));
    }
    return pause;
  }

  async #fill(lane: Lane): Promise<number> {
    const { clock, store, circuits } = this.#deps;
    const circuit = circuits.state(lane.authority);
    const now = clock.now();
    if (circuit.type === 'open') {
      if (circuit.probing) return LOOK_MS;
      if (now < circuit.retryAt) return circuit.retryAt - now;
    }
    const room = circuit.type === 'open' ? Math.min(lane.room(), 1) : lane.room();
    if (room < 1) return lane.waitMs() || LOOK_MS;
    const { applicationIds } = lane;
    // A look first: claiming takes the database's write lock, and mostly there is nothing to claim.
    const next = await store.grants.nextDue(applicationIds);
    if (next === undefined || next > now) return next === undefined ? LOOK_MS : next - now;
    const claimed = await store.grants.claimDue({ applicationIds, now, until: now + CLAIM_MS, limit: room });
    for (const grantId of claimed) this.#start(lane, grantId);
    return claimed.length === room ? lane.waitMs() || LOOK_MS : 0;
  }

  #start(lane: Lane, grantId: string): void {
    if (this.#work.has(grantId)) return;
    lane.take();
    const work = this.#renew(lane, grantId).finally(() => {
      lane.release();
      this.#work.delete(grantId);
      this.#wake();
    });
    this.#work.set(grantId, work);
  }

  async #renew(lane: Lane, grantId: string): Promise<void> {
    const { clock, log } = this.#deps;
    try {
      const renewed = await renew(
        this.#deps,
        grantId,
        (tokens) => this.#isFresh(grantId, tokens, lane),
        this.#stopping.signal,
      );
      if (!renewed.requested) await this.#note(renewed);
    } catch (thrown) {
      const error = asError(thrown);
      log.debug({ grantId, code: error.code, reason: error.message }, 'a grant could not be renewed');
      if (error.code === 'oauth.provider-busy') lane.pause(error.retryAt?.getTime() ?? clock.now() + BUSY_MS);
      if (error.kind === 'denied') await this.#leave(grantId, error);
    }
  }

  /** Not yet due by the token itself, whatever the row says. */
  #isFresh(grantId: string, tokens: GrantTokens, { applicationIds }: Lane): boolean {
    const now = this.#deps.clock.now();
    if (isFromTheFuture(tokens, now)) return false;
    // The shortest limit of the lane: which application it is the row would say, but a renewal too early harms nobody.
    const limits = applicationIds.flatMap((id) => this.#profiles.get(id)?.inactivityMs ?? []);
    const inactivityMs = limits.length === 0 ? undefined : Math.min(...limits);
    return now < renewByDutyAt(grantId, tokens, { inactivityMs });
  }

  /** Somebody else renewed it, or the row comes from a time without this duty: it is due when its token says. */
  async #note({ grant, tokens }: Renewed): Promise<void> {
    const inactivityMs = isAppOnly(grant.flow) ? undefined : this.#profiles.get(grant.applicationId)?.inactivityMs;
    const renewal = grant.renewal ?? { consentedAt: grant.createdAt, renewedAt: tokens.obtainedAt };
    const renewAt = renewByDutyAt(grant.id, tokens, { inactivityMs });
    await this.#update(grant.id, grant.generation, { renewAt, renewal });
  }

  /** A grant that needs a person is not due any more. */
  async #leave(grantId: string, error: PosternError): Promise<void> {
    const grant = await this.#deps.store.grants.find(grantId).catch(() => undefined);
    if (!grant || grant.renewAt === undefined || grant.state.type === 'active' || grant.state.type === 'renewing')
      return;
    const again = grant.state.type === 'needs-consent' ? grant.state.askAgainAt : undefined;
    if (again === grant.renewAt) return;
    if (again === undefined) this.#deps.log.debug({ grantId, code: error.code }, 'a grant is left to its owner');
    await this.#update(grantId, grant.generation, { renewAt: again });
  }

  /** A write that loses or fails is made again when the claim comes back. */
  async #update(
    id: string,
    generation: number,
    change: Parameters<RenewalDeps['store']['grants']['update']>[2],
  ): Promise<void> {
    await this.#deps.store.grants.update(id, generation, change).catch((error: unknown) => {
      this.#deps.log.debug({ grantId: id, code: asError(error).code }, 'when a grant is due could not be stored');
    });
  }

  async #lookAtClock(): Promise<void> {
    const { clock, store, circuits, log, emit } = this.#deps;
    const jump = this.#jumps.look();
    const now = clock.now();
    // At the start too: the clock may have been set while nobody was running.
    if (jump !== 0 || this.rounds === 0) {
      const which = { type: 'renewed-after', time: now + CLOCK_TOLERANCE_MS } as const;
      const doubtful = await store.grants.makeDue(now, which);
      if (doubtful > 0) log.warn({ grants: doubtful }, 'tokens are dated in the future; they are renewed now');
      // What is due later than its token ends, and later than any pause lasts, was put off by a clock that ran ahead.
      const ids = (await store.grants.overview()).flatMap((grant) => (isTooLate(grant, now) ? [grant.id] : []));
      if (ids.length > 0) {
        log.warn({ grants: ids.length }, 'renewals were put off by a clock that ran ahead; they are due now');
        for (let at = 0; at < ids.length; at += AT_ONCE)
          await store.grants.makeDue(now, { type: 'these', ids: ids.slice(at, at + AT_ONCE) });
      }
    }
    if (jump === 0) return;
    log.info({ byMs: jump }, 'the clock jumped; waiting a moment for the network, then going on');
    this.#settleUntil = now + SETTLE_MS;
    circuits.wake();
    for (const lane of this.#lanes.values()) lane.restart();
    await emit({ type: 'clock.jumped', byMs: jump });
  }

  async #readApplications(): Promise<void> {
    const { store, clock } = this.#deps;
    const changed = this.#applications === 'changed';
    this.#applications = 'known';
    let applications: readonly Application[];
    try {
      applications = await store.applications.list();
      // Whatever was set up better now is tried at once: a new credential, another tenant.
      for (const { id } of changed ? applications : []) {
        await store.grants.makeDue(clock.now(), { type: 'failing', applicationId: id });
      }
    } catch (error) {
      this.#applications = changed ? 'changed' : 'unknown';
      throw error;
    }
    const byAuthority = Map.groupBy(applications, (application) => this.#authorityOf(application));
    for (const lane of this.#lanes.values()) lane.applicationIds = [];
    for (const [authority, members] of byAuthority) {
      const lane = this.#lanes.get(authority) ?? new Lane(authority, clock, this.#limits);
      lane.applicationIds = members.map(({ id }) => id);
      this.#lanes.set(authority, lane);
    }
  }

  /** What the circuit goes by; an application with wrong settings has a lane of its own, where each try says what is wrong. */
  #authorityOf(application: Application): string {
    try {
      const { authorizationServer, inactivityMs } = resolveProvider(application);
      this.#profiles.set(application.id, { inactivityMs });
      return authorizationServer;
    } catch (error) {
      this.#deps.log.warn({ application: application.name, error: asError(error).message }, 'cannot renew its grants');
      return application.id;
    }
  }
}

/** Grants named in one statement. */
const AT_ONCE = 500;
/** Longer than the longest pause after a failure, with its scatter. */
const MAX_PUT_OFF_MS = 2 * 3_600_000;

function isTooLate({ renewAt, state }: Pick<Grant, 'renewAt' | 'state'>, now: number): boolean {
  if (renewAt === undefined || renewAt <= now + MAX_PUT_OFF_MS) return false;
  return (state.type === 'active' || state.type === 'renewing') && renewAt > state.accessExpiresAt;
}
