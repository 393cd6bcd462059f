/**
 * Tells receivers what happened: every event becomes a delivery for each webhook that wants it (once, whichever process does
 * it), and deliveries are tried until they arrive or their deadline passes. At least once, in order for each message.
 */
import type { Audit } from '../../audit/types.ts';
import { opens } from '../../access/api-sign-in.ts';
import { backoffMs } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import { type JumpWatch, watchForJumps } from '../../oauth/jump-watch.ts';
import { CLOCK_TOLERANCE_MS } from '../../oauth/schedule.ts';
import { newId } from '../../store/id.ts';
import type { Ahead, MessageEvent } from '../../store/types-outbox.ts';
import type { ApiKey, NewWebhookDelivery, Webhook, WebhookDelivery } from '../../store/types-api.ts';
import { outlast } from '../../store/outlast.ts';
import type { Store } from '../../store/types.ts';
import type { Vault } from '../../vault/types.ts';
import { Egress, type EgressPolicy, type Resolve } from './egress.ts';
import { type PostOutcome, postEvent } from './post.ts';
import { disableWithoutRight } from './owner.ts';
import { openSecrets, signedHeaders } from './signature.ts';

export interface WebhookDeps {
  readonly store: Store;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly log: Log;
  readonly audit?: Pick<Audit, 'note'>;
  readonly policy: EgressPolicy;
  readonly resolve?: Resolve;
  readonly random?: () => number;
  /** Hears of every try that ended. */
  readonly tried?: (outcome: TryOutcome, seconds: number) => void;
}

export type TryOutcome = 'delivered' | 'again' | 'failed' | 'gone';

/** Half of it the first time; an endpoint that is down for an hour is tried about ten times. */
const RETRY = { baseMs: 5000, maxMs: 4 * 3_600_000 };
/** From the event to giving up: a weekend and a day. */
const DEADLINE_MS = 3 * 86_400_000;
/** Longer than any try takes; a process that dies leaves its tries to others after this. */
const CLAIM_MS = 60_000;
/** At a stop the database has this long to come back; the part that this is has ten seconds to end. */
const GIVE_UP_MS = 5_000;
/** A receiver's wish for patience counts for no longer, and so nothing is due later. */
const MAX_PUT_OFF_MS = 6 * 3_600_000;
const AT_ONCE = 8;
/** One that fails gets one try at a time, so that it holds up nobody and is not flooded when it comes back. */
const AT_ONCE_FAILING = 1;
const REST_MS = { baseMs: 1000, maxMs: 60_000 };
const EVENTS_AT_ONCE = 200;
const KEEP_MS = 14 * 86_400_000;
const PRUNE_EVERY_MS = 3_600_000;
/** Word of a change can be lost; this is the longest it then takes. */
const LOOK_EVERY_MS = 30_000;

/** By what it is told that a delivery was dated by a clock that ran ahead. */
export function webhooksAheadOf(now: number): Omit<Ahead, 'keepMs'> {
  return { now, latest: now + MAX_PUT_OFF_MS, tolerated: now + CLOCK_TOLERANCE_MS };
}

export function startWebhooks(deps: WebhookDeps): { close(): Promise<void> } {
  const dispatcher = new WebhookDispatcher(deps);
  return { close: () => dispatcher.close() };
}

/** A delivery that tells a receiver nothing but that it works. */
export function testDelivery(webhookId: string, now: number): NewWebhookDelivery {
  return delivery('webhook.test', webhookId, undefined, now, { webhookId });
}

/** When a delivery that is put in line now is given up. */
export function webhookDeadline(now: number): number {
  return now + DEADLINE_MS;
}

type Agents = Readonly<Record<'http:' | 'https:', Awaited<ReturnType<Egress['agent']>>>>;

class WebhookDispatcher {
  readonly #deps: WebhookDeps;
  readonly #egress: Egress;
  #agents: Promise<Agents> | undefined;
  readonly #watches: readonly { stop(): void }[];
  readonly #stop = new AbortController();
  readonly #giveUp = new AbortController();
  /** Ends of tries that the database has not taken yet. */
  #unwritten = 0;
  readonly #tries = new Map<string, Set<Promise<void>>>();
  /** Receivers whose last try failed, and until when they are left alone. */
  readonly #resting = new Map<string, { readonly failures: number; readonly until: number }>();
  #round: Promise<void> | undefined;
  /** By id; undefined: to be asked for. */
  #keys: ReadonlyMap<string, ApiKey> | undefined;
  /** There may be webhooks. */
  #some = true;
  #again = false;
  #timer: Timer | undefined;
  #prunedAt = 0;

  readonly #jumps: JumpWatch;
  #looked = false;

  constructor(deps: WebhookDeps) {
    this.#jumps = watchForJumps(deps.clock);
    this.#deps = deps;
    this.#egress = new Egress(deps.policy, deps.resolve);
    this.#watches = [
      deps.store.watch('api-keys', () => {
        this.#keys = undefined;
        this.#wake();
      }),
      deps.store.watch('webhooks', () => {
        this.#some = true;
        this.#wake();
      }),
      // Busy outboxes commit some hundred times a second; most have nobody to tell.
      deps.store.watch('outbox', () => {
        if (this.#some) this.#wake();
      }),
    ];
    this.#wake();
  }

  async close(): Promise<void> {
    for (const watch of this.#watches) watch.stop();
    this.#stop.abort();
    this.#timer?.cancel();
    await this.#round;
    const enough = this.#deps.clock.after(GIVE_UP_MS, () => this.#giveUp.abort(new Error('the database stayed away')));
    await Promise.all([...this.#tries.values()].flatMap((tries) => [...tries]));
    enough.cancel();
    await Promise.all(Object.values((await this.#agents) ?? {}).map((agent) => agent.destroy()));
  }

  #openAgents(): Promise<Agents> {
    this.#agents ??= Promise.all([this.#egress.agent('http:'), this.#egress.agent('https:')]).then(([http, https]) => ({
      'http:': http,
      'https:': https,
    }));
    return this.#agents;
  }

  #wake(): void {
    this.#again = true;
    if (this.#stop.signal.aborted) return;
    this.#round ??= this.#run().finally(() => {
      this.#round = undefined;
      if (this.#again) this.#wake();
    });
  }

  async #run(): Promise<void> {
    const { clock, log, store } = this.#deps;
    let wait = LOOK_EVERY_MS;
    try {
      while (this.#again && !this.#stop.signal.aborted) {
        this.#again = false;
        const webhooks = await store.webhooks.list();
        this.#some = webhooks.length > 0;
        const keys = await this.#owners(webhooks);
        const ended = new Set(await disableWithoutRight(this.#deps, webhooks, keys));
        for (const webhook of webhooks) {
          if (ended.has(webhook))
            log.warn({ webhookId: webhook.id, apiKeyId: webhook.apiKeyId }, 'a webhook was disabled with its API key');
          else if (webhook.state.type === 'enabled') await this.#enqueue(webhook, keys.get(webhook.apiKeyId ?? ''));
        }
        wait = Math.min(LOOK_EVERY_MS, await this.#begin());
      }
      if (clock.now() - this.#prunedAt > PRUNE_EVERY_MS) {
        this.#prunedAt = clock.now();
        await store.webhooks.prune(clock.now() - KEEP_MS);
      }
    } catch (error) {
      log.warn({ error: asError(error) }, 'webhooks cannot be worked on; trying again');
      wait = REST_MS.baseMs;
    }
    this.#timer?.cancel();
    if (!this.#stop.signal.aborted) this.#timer = clock.after(Math.max(wait, 1), () => this.#wake());
  }

  /** The API keys of webhooks, from memory until they change; asked for again when one is missing. */
  async #owners(webhooks: readonly Webhook[]): Promise<ReadonlyMap<string, ApiKey>> {
    const known = this.#keys;
    const ids = webhooks.flatMap(({ apiKeyId }) => apiKeyId ?? []);
    if (known && ids.every((id) => known.has(id))) return known;
    const all = ids.length === 0 ? [] : await this.#deps.store.apiKeys.list();
    return (this.#keys = new Map(all.map((key) => [key.id, key])));
  }

  /** Makes deliveries of the events that came since. */
  async #enqueue(webhook: Webhook, key: ApiKey | undefined): Promise<void> {
    const { store, clock } = this.#deps;
    let from = webhook.cursor;
    for (;;) {
      const events = await store.outbox.events({ after: from, limit: EVENTS_AT_ONCE });
      const to = events.at(-1)?.seq;
      if (to === undefined) return;
      const wanted = events.filter((event) => wants(webhook, event) && (!key || opens(key, event.mailbox)));
      const deliveries = wanted.map((event) => deliveryOf(event, clock.now()));
      // Another process was faster: the rest is its work too.
      if (!(await store.webhooks.enqueue(webhook.id, { from, to }, deliveries))) return;
      if (events.length < EVENTS_AT_ONCE || this.#stop.signal.aborted) return;
      from = to;
    }
  }

  /** Begins tries of what is due. Gives the milliseconds until the next are. */
  async #begin(): Promise<number> {
    const { store, clock } = this.#deps;
    // Claims of those have run out by now, it may be: their ends are known.
    if (this.#unwritten > 0) return REST_MS.baseMs;
    await this.#lookAtClock();
    const { webhookIds, nextAt } = await store.webhooks.due(clock.now());
    let wait = nextAt === undefined ? LOOK_EVERY_MS : nextAt - clock.now();
    for (const id of webhookIds) {
      const resting = this.#resting.get(id);
      if (resting && resting.until > clock.now()) {
        wait = Math.min(wait, resting.until - clock.now());
        continue;
      }
      const tries = this.#tries.get(id) ?? new Set();
      this.#tries.set(id, tries);
      const limit = (resting ? AT_ONCE_FAILING : AT_ONCE) - tries.size;
      // When one of them ends there is another round.
      if (limit <= 0) continue;
      const webhook = await store.webhooks.find(id);
      if (!webhook) continue;
      const key = (await this.#owners([webhook])).get(webhook.apiKeyId ?? '');
      const now = clock.now();
      for (const due of await store.webhooks.claim({ webhookId: id, now, until: now + CLAIM_MS, limit })) {
        const done: Promise<void> = this.#try(webhook, key, due).finally(() => {
          tries.delete(done);
          if (tries.size === 0) this.#tries.delete(id);
          this.#wake();
        });
        tries.add(done);
      }
    }
    return wait;
  }

  /** At the start, and when the clock was set: nothing is put off for longer than the longest pause. */
  async #lookAtClock(): Promise<void> {
    const { clock, log, store } = this.#deps;
    const jump = this.#jumps.look();
    if (this.#looked && jump === 0) return;
    this.#looked = true;
    const now = clock.now();
    for (const [id, { failures, until }] of this.#resting)
      if (until > now + REST_MS.maxMs * 2) this.#resting.set(id, { failures, until: now });
    const recalled = await store.webhooks.recall(webhooksAheadOf(now));
    if (recalled > 0)
      log.warn({ deliveries: recalled }, 'webhooks were dated by a clock that ran ahead; they are due now');
  }

  async #try(webhook: Webhook, key: ApiKey | undefined, due: WebhookDelivery): Promise<void> {
    const { clock, log, vault } = this.#deps;
    try {
      const at = clock.now();
      // Put in line when it might be told; mailboxes were taken from the webhook or its key since.
      if (!isTold(webhook, due.mailbox) || (key && due.mailbox !== undefined && !opens(key, due.mailbox))) {
        this.#deps.tried?.('failed', 0);
        const problem = `not sent: the webhook or its API key does not open ${due.mailbox} any more`;
        await this.#write(due, { at, tookMs: 0, problem }, { type: 'failed' });
        return;
      }
      const secrets = await openSecrets(vault, webhook, at);
      const headers = {
        ...signedHeaders(secrets, due.eventId, Math.floor(at / 1000), due.payload),
        'postern-delivery': due.id,
        'postern-ordering-key': due.orderingKey,
        'postern-attempt': String(due.attempts.length + 1),
      };
      const { signal } = this.#stop;
      const outcome = await postEvent(
        this.#egress,
        await this.#openAgents(),
        webhook.url,
        headers,
        due.payload,
        signal,
      );
      // A try that we broke off says nothing about the receiver; the claim runs out and somebody else makes it.
      if (this.#stop.signal.aborted && outcome.type === 'failed') return;
      await this.#settle(webhook, due, at, outcome);
    } catch (error) {
      log.warn({ error: asError(error), webhookId: webhook.id, deliveryId: due.id }, 'a webhook could not be tried');
      this.#rest(webhook.id);
    }
  }

  async #settle(webhook: Webhook, due: WebhookDelivery, at: number, outcome: PostOutcome): Promise<void> {
    const { clock, log, store, random } = this.#deps;
    const now = clock.now();
    const attempt = { at, tookMs: now - at, ...(outcome.status === undefined ? {} : { status: outcome.status }) };
    const told = (how: TryOutcome): void => this.#deps.tried?.(how, attempt.tookMs / 1000);
    if (outcome.type === 'delivered') {
      told('delivered');
      this.#resting.delete(webhook.id);
      await this.#write(due, attempt, { type: 'delivered' });
      return;
    }
    if (outcome.type === 'gone') {
      const reason = 'the receiver answered 410 Gone';
      told('gone');
      await this.#write(due, { ...attempt, problem: reason }, { type: 'failed' });
      await store.webhooks.update(webhook.id, { state: { type: 'disabled', since: now, reason } });
      log.warn({ webhookId: webhook.id }, 'a webhook was disabled: its receiver answered 410 Gone');
      return;
    }
    this.#rest(webhook.id);
    const wait = backoffMs(due.attempts.length, { ...RETRY, ...(random ? { random } : {}) });
    const next = now + Math.max(wait, Math.min(outcome.retryAfterMs ?? 0, MAX_PUT_OFF_MS));
    const failed = { ...attempt, problem: outcome.problem };
    const isOver = next > due.deadline;
    told(isOver ? 'failed' : 'again');
    await this.#write(due, failed, isOver ? { type: 'failed' } : { type: 'again', at: next });
    const facts = { webhookId: webhook.id, deliveryId: due.id, status: outcome.status, problem: outcome.problem };
    if (isOver) log.warn(facts, 'an event was not taken by its webhook until its deadline; it can be replayed');
    else log.debug(facts, 'a webhook failed and is tried again');
  }

  /** What a receiver said is written down as soon as the database takes it: told again it would hear of it twice. */
  async #write(...said: Parameters<Store['webhooks']['settle']>): Promise<void> {
    const { clock, log, store } = this.#deps;
    let isWaiting = false;
    const failed = (error: Error): void => {
      if (isWaiting) return;
      isWaiting = true;
      this.#unwritten += 1;
      log.warn({ err: error }, 'what receivers of webhooks said waits in memory until the database takes it');
    };
    try {
      await outlast(() => store.webhooks.settle(...said), { clock, signal: this.#giveUp.signal, failed });
    } finally {
      if (isWaiting) this.#unwritten -= 1;
    }
  }

  #rest(webhookId: string): void {
    const failures = (this.#resting.get(webhookId)?.failures ?? 0) + 1;
    const { random, clock } = this.#deps;
    const until = clock.now() + backoffMs(failures - 1, { ...REST_MS, ...(random ? { random } : {}) });
    this.#resting.set(webhookId, { failures, until });
  }
}

/** Whether a webhook is told of this mailbox; of what is of no mailbox it always is. */
export function isTold(webhook: Pick<Webhook, 'mailboxes'>, mailbox: string | undefined): boolean {
  return mailbox === undefined || opens(webhook, mailbox);
}

function wants(webhook: Webhook, event: MessageEvent): boolean {
  const { types } = webhook;
  return isTold(webhook, event.mailbox) && (types.length === 0 || types.includes(`message.${event.type}`));
}

function deliveryOf(event: MessageEvent, now: number): NewWebhookDelivery {
  const { seq, messageId, mailbox, at } = event;
  const data = { ...event.data, messageId, mailbox, sequence: seq };
  return delivery(`message.${event.type}`, messageId, mailbox, at, data, now);
}

/** The payload as Standard Webhooks recommends it: type, timestamp, data. */
function delivery(
  type: string,
  orderingKey: string,
  mailbox: string | undefined,
  at: number,
  data: Readonly<Record<string, unknown>>,
  now = at,
): NewWebhookDelivery {
  return {
    id: newId('whd'),
    eventId: newId('evt'),
    type,
    orderingKey,
    mailbox,
    payload: JSON.stringify({ type, timestamp: new Date(at).toISOString(), data }),
    createdAt: now,
    deadline: now + DEADLINE_MS,
  };
}
