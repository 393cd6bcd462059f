/**
 * One back-off for whatever refused: a way out of a mailbox, the mailbox, its organisation, a server. While it rests nobody tries; when
 * it is due again one message does, and all others wait for how that ends.
 */
import type { Clock } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import { CLOCK_TOLERANCE_MS } from '../../oauth/schedule.ts';
import type { Mailbox, Store } from '../../store/types.ts';
import { inLedger } from '../../store/ledger.ts';
import { outlast } from '../../store/outlast.ts';
import { listRests, REST_PREFIX, type Rest, restName, restText } from '../rest.ts';
import { silent } from './judge.ts';
import { sendingBy } from './still-allowed.ts';
import type { Outcome, RestCause, Route, SendJob } from './types.ts';

export interface RestingDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborted when this process waits no longer for its database. */
  readonly giveUp: AbortSignal;
  /** Something that rested does no longer: mail may leave. */
  opened(): void;
}

type Key = Pick<Rest, 'scope' | 'about'>;

/** How far apart tries get at most; what somebody has to change is no hurry, a server that is back is. */
const MAX_MS = { endpoint: 5 * 60_000, passing: 10 * 60_000, lasting: 60 * 60_000 } as const;
/** No provider's wish for patience counts for longer. */
const MAX_ASKED_MS = 24 * 3_600_000;
/** Who meets a probe under way looks again after this, should its end go unheard. */
const PROBE_MS = 15_000;
/** Up to a fifth earlier or later. */
const JITTER = 0.2;
/** So much of the time that something rested does not count towards the deadlines of what waited. */
export const MAX_UNCOUNTED_MS = 5 * 24 * 3_600_000;

export class Resting {
  readonly #deps: RestingDeps;
  readonly #rests = new Map<string, Rest>();
  /** Names of rests that a message is trying just now. */
  readonly #probing = new Set<string>();

  constructor(deps: RestingDeps) {
    this.#deps = deps;
  }

  /** Takes up what was known before. @throws store.unavailable */
  async load(): Promise<void> {
    const now = this.#deps.clock.now();
    for (const rest of await listRests(this.#deps.store.outbox)) this.#rests.set(restName(rest), believable(rest, now));
  }

  /** The clock was set, or somebody says "now": whatever rests is tried at once. */
  tryNow(which: (rest: Rest) => boolean = () => true): void {
    const now = this.#deps.clock.now();
    for (const [name, rest] of this.#rests)
      if (which(rest))
        this.#rests.set(name, { ...rest, lastAt: Math.min(rest.lastAt, now), until: Math.min(rest.until, now) });
    this.#deps.opened();
  }

  /** A mailbox's consent, an application's settings changed. */
  settingsChanged(): void {
    this.tryNow(({ passesWhen, scope }) => passesWhen === undefined && scope !== 'endpoint');
  }

  /** The same route, which asks here before it is used and says here how it went. */
  guard(route: Route): Route {
    return sendingBy(route, (job, signal) => this.#send(route, job, signal));
  }

  async #send(route: Route, job: SendJob, signal: AbortSignal): Promise<Outcome> {
    const keys = await this.#keys(route, job.mailbox);
    const met = this.#enter(keys);
    if (met.type === 'rest') return asResting(met.rest, met.until);
    try {
      const outcome = await route.send(job, signal);
      return await this.#ended(route, job, keys, met.probes, outcome);
    } finally {
      for (const name of met.probes) this.#probing.delete(name);
    }
  }

  async #keys(route: Route, mailbox: Mailbox): Promise<readonly Key[]> {
    return [
      { scope: 'mailbox', about: mailbox.address },
      { scope: 'route', about: `${route.name} ${mailbox.address}` },
      { scope: 'tenant', about: (await this.#applicationOf(mailbox)) ?? '' },
      ...(await this.#endpointKey(route, mailbox)),
    ];
  }

  async #endpointKey(route: Route, mailbox: Mailbox): Promise<readonly Key[]> {
    if (!route.endpoint) return [];
    try {
      return [{ scope: 'endpoint', about: `${route.name} ${await route.endpoint(mailbox)}` }];
    } catch {
      // Wrong settings: the attempt itself says so.
      return [];
    }
  }

  async #applicationOf(mailbox: Mailbox): Promise<string | undefined> {
    return (await this.#deps.store.grants.find(mailbox.grantId))?.applicationId;
  }

  #enter(
    keys: readonly Key[],
  ):
    | { readonly type: 'go'; readonly probes: readonly string[] }
    | { readonly type: 'rest'; readonly rest: Rest; readonly until: number } {
    const now = this.#deps.clock.now();
    const probes: string[] = [];
    let inTheWay: { readonly rest: Rest; readonly until: number } | undefined;
    for (const key of keys) {
      const name = restName(key);
      const rest = this.#rests.get(name);
      if (!rest) continue;
      const until = rest.until > now ? rest.until : this.#probing.has(name) ? now + PROBE_MS : undefined;
      if (until === undefined) probes.push(name);
      else if (!inTheWay || until > inTheWay.until) inTheWay = { rest, until };
    }
    if (inTheWay) return { type: 'rest', ...inTheWay };
    for (const name of probes) this.#probing.add(name);
    return { type: 'go', probes };
  }

  async #ended(
    route: Route,
    job: SendJob,
    keys: readonly Key[],
    probes: readonly string[],
    outcome: Outcome,
  ): Promise<Outcome> {
    const cause = 'rest' in outcome ? outcome.rest : undefined;
    // Where the server has no name it is this way of this mailbox that rests.
    const key =
      cause && (keys.find(({ scope }) => scope === cause.scope) ?? keys.find(({ scope }) => scope === 'route'));
    for (const name of probes) {
      const rest = this.#rests.get(name);
      if (!rest || (key && name === restName(key))) continue;
      if (isProof(rest, outcome, cause)) await this.#open(name, rest);
      // Nothing was learnt of it: it is tried again with the next message, after a while.
      else if (outcome.type !== 'unfit')
        this.#rests.set(name, { ...rest, until: this.#deps.clock.now() + rest.againMs });
    }
    if (!cause || !key) return outcome;
    const { first, rest } = await this.#rest(route, job, key, cause, outcome, probes.includes(restName(key)));
    if (outcome.type !== 'later' && outcome.type !== 'closed' && outcome.type !== 'blocked') return outcome;
    return { ...outcome, since: rest.since, until: rest.until, first };
  }

  async #rest(
    route: Route,
    { mailbox }: SendJob,
    key: Key,
    cause: RestCause,
    outcome: Outcome,
    probed: boolean,
  ): Promise<{ readonly rest: Rest; readonly first: boolean }> {
    const { clock, log } = this.#deps;
    const name = restName(key);
    const now = clock.now();
    const before = this.#rests.get(name);
    // Attempts that were under way together met the same: once is enough.
    if (before && !probed && before.until > now && before.row === cause.row) return { rest: before, first: false };
    const tries = before ? before.tries + 1 : 1;
    const asked = 'retryAfterMs' in outcome ? Math.min(outcome.retryAfterMs ?? 0, MAX_ASKED_MS) : 0;
    const since = before?.since ?? now;
    const rest: Rest = {
      ...cause,
      ...key,
      mailbox: before?.mailbox ?? mailbox.address,
      route: route.name,
      code: 'code' in outcome ? outcome.code : outcome.type,
      reply: outcome.reply.text,
      since,
      lastAt: now,
      until: now + Math.max(asked, pauseMs(cause, tries, now - since)),
      tries,
      closed: outcome.type === 'closed',
    };
    this.#rests.set(name, rest);
    await this.#keep(name, rest);
    const first = before === undefined || before.row !== cause.row;
    const facts = { ...key, row: rest.row, reply: rest.reply, tries };
    if (first) log.warn(facts, restText(rest));
    else log.info(facts, restText(rest));
    return { rest, first };
  }

  async #open(name: string, rest: Rest): Promise<void> {
    const { clock, giveUp, log, store, opened } = this.#deps;
    this.#rests.delete(name);
    await this.#keep(name, undefined);
    const now = clock.now();
    log.info({ scope: rest.scope, about: rest.about, restedMs: now - rest.since }, 'mail leaves again');
    const from = Math.max(rest.since, now - MAX_UNCOUNTED_MS);
    try {
      await outlast(
        async () => {
          const mailboxes = await this.#concerned(rest);
          if (now > from) await store.outbox.prolongDeadlines({ mailboxes, from, to: now });
        },
        { clock, signal: giveUp },
      );
    } catch (error) {
      // What the attempt ended in is known all the same, and must not be lost with this.
      log.warn({ err: asError(error), about: rest.about }, 'the deadlines of mail that waited could not be moved');
    }
    opened();
  }

  /** Whose mail it kept. */
  async #concerned({ about, route, scope }: Rest): Promise<readonly string[]> {
    if (scope === 'mailbox') return [about];
    if (scope === 'route') return [about.slice(route.length + 1)];
    const due = await this.#deps.store.outbox.dueMailboxes(this.#deps.clock.now());
    // Who has mail waiting and uses another server gains a little time, and loses nothing.
    return due.filter(({ tenant }) => scope === 'endpoint' || tenant === about).map(({ mailbox }) => mailbox);
  }

  async #keep(name: string, rest: Rest | undefined): Promise<void> {
    const { outbox } = this.#deps.store;
    try {
      if (rest) await inLedger(outbox, name, () => ({ entry: JSON.stringify(rest), result: undefined }));
      else await outbox.dropEntry(name);
    } catch (error) {
      // It holds in this process; what is on disk is put right with the next change.
      this.#deps.log.warn(
        { code: asError(error).code, name: name.slice(REST_PREFIX.length) },
        'a pause could not be stored',
      );
    }
  }
}

/** Whether an attempt shows that what rested works again. */
function isProof(rest: Rest, outcome: Outcome, cause: RestCause | undefined): boolean {
  const spoke = outcome.reply.code !== undefined;
  switch (outcome.type) {
    case 'sent':
    case 'refused':
      return cause === undefined || rest.scope === 'endpoint';
    case 'later':
    case 'closed':
    case 'blocked':
      return spoke && (cause === undefined || rest.scope === 'endpoint');
    case 'unfit':
    case 'unknown':
    case 'resting':
      return false;
  }
}

function pauseMs({ againMs, passesMs, passesWhen, scope }: RestCause, tries: number, restedMs: number): number {
  const most = scope === 'endpoint' ? MAX_MS.endpoint : passesWhen === undefined ? MAX_MS.lasting : MAX_MS.passing;
  const step = Math.min(againMs * 2 ** Math.min(tries - 1, 20), Math.max(most, againMs));
  const pause = Math.round(step * (1 + JITTER * (2 * Math.random() - 1)));
  // What time alone clears is tried when that time is over.
  const left = passesMs === undefined ? 0 : passesMs - restedMs;
  return left > 0 ? Math.min(pause, left) : pause;
}

function asResting({ cause, closed, reply, row, since }: Rest, until: number): Outcome {
  return { type: 'resting', code: row, reply: silent(`${cause} (${reply})`), closed, since, until };
}

/** A rest from the future was dated by a clock that ran ahead: it is tried now. */
function believable(rest: Rest, now: number): Rest {
  if (rest.lastAt <= now + CLOCK_TOLERANCE_MS) return rest;
  return { ...rest, since: Math.min(rest.since, now), lastAt: now, until: now };
}

/** How long past its deadline a message that waits for a rest is kept. */
export function uncounted(message: { readonly createdAt: number }, since: number, now: number): number {
  return Math.min(Math.max(0, now - Math.max(since, message.createdAt)), MAX_UNCOUNTED_MS);
}
