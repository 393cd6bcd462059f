/** The loop that empties the outbox: which message may leave now, by which route, and what is written down of it. */
import type { SendingLimits } from '../../oauth/preset.ts';
import type { Timer } from '../../base/clock.ts';
import { backoffMs } from '../../base/backoff.ts';
import { asError } from '../../base/error.ts';
import type { Mailbox, Store } from '../../store/types.ts';
import { isAway } from '../../store/outlast.ts';
import type { OutboxMessage } from '../../store/types-outbox.ts';
import { Rights } from '../rights.ts';
import { attempt, type AttemptDeps, type Attempted } from './attempt.ts';
import { type Box, Boxes } from './box.ts';
import { CLAIM_MS, Claims, PROLONG_MS } from './claims.ts';
import { waysText } from './doubt.ts';
import { databaseBack, giveBack } from './give-back.ts';
import { pause, reserve } from './pace.ts';
import { PassingTime } from './passing-time.ts';
import { MAX_UNCOUNTED_MS, Resting } from './resting.ts';
import { Settler, Unsettled } from './settle.ts';
import { whileOpen } from './still-allowed.ts';
import { Turns } from './turns.ts';
import type { Route } from './types.ts';

/** What an attempt needs, but for what delivery itself says to one. */
export interface DeliveryDeps extends Omit<AttemptDeps, 'change' | 'deadline' | 'pause' | 'settler'> {
  readonly store: Store;
  /** Names this process in claims. */
  readonly owner: string;
  limits(mailbox: Mailbox): Promise<SendingLimits>;
  /** Messages under way at a time, all mailboxes together. */
  readonly atOnce?: number;
}

export type Delivery = Pick<DeliveryLoop, 'wake' | 'idle' | 'close'>;

/** Without any word from the store we look this often. */
const LOOK_MS = 30_000;
/** What others left unfinished is looked for this often. */
const TAKE_OVER_MS = 3_000;
/** A claim made right before this process began has run out by then. */
const NEW_MS = 2 * CLAIM_MS;
/** While mail pours in, every commit is news; looking once in so many milliseconds is soon enough. */
const BREATH_MS = 50;
const AT_ONCE = 50;
/** Messages of one claim where no limit makes each wait for its turn. */
const BATCH = 50;
/** A mailbox whose grant or every route is shut is tried again after this; each of its messages would fail alike. */
const BLOCKED_MS = 60_000;
/** While the database is away it is asked again this soon: mail must not wait long after it is back. */
const AGAIN = { baseMs: 500, maxMs: 5_000 };
/** A database that took this long for an answer was away, for others that claim mail as well. */
const SLOW_MS = 2_000;
/** At a stop outcomes that are known are still written down if the database comes back in this time; a service has a minute to stop. */
const GIVE_UP_MS = 30_000;

export function startDelivery(deps: DeliveryDeps): Delivery {
  return new DeliveryLoop(deps);
}

class DeliveryLoop {
  readonly #deps: DeliveryDeps;
  readonly #attempt: AttemptDeps;
  readonly #boxes: Boxes;
  readonly #claims: Claims;
  readonly #settler: Settler;
  readonly #giveUp = new AbortController();
  readonly #stop = new AbortController();
  readonly #watches: readonly { stop(): void }[];
  #running = 0;
  #takeOverAt = 0;
  /** Looks that failed, one after the other. */
  #failures = 0;
  readonly #begun: number;
  /** Mailboxes with due mail found no place among those under way. */
  #crowded = false;
  readonly #turns = new Turns();
  readonly #resting: Resting;
  readonly #rights: Rights;
  readonly #passing: PassingTime;
  #timer: Timer | undefined;
  #breath: Timer | undefined;
  #looked = 0;
  #round: Promise<void> | undefined;
  #again = false;
  readonly #rest: (() => void)[] = [];

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
    this.#begun = deps.clock.now();
    this.#claims = new Claims({ ...deps, outbox: deps.store.outbox });
    this.#passing = new PassingTime(deps);
    const giveUp = this.#giveUp.signal;
    this.#settler = new Settler({ ...deps, table: deps.store.outbox, giveUp });
    this.#resting = new Resting({ ...deps, giveUp, opened: this.#opened });
    this.#boxes = new Boxes(deps.store.outbox, this.#resting);
    this.#rights = new Rights(deps);
    const guard = (route: Route): Route => this.#resting.guard(whileOpen(route, this.#rights, deps.clock));
    this.#attempt = {
      ...deps,
      routes: async (mailbox) => (await deps.routes(mailbox)).map(guard),
      ...(deps.inbox ? { inbox: guard(deps.inbox) } : {}),
      deadline: (message) => this.#passing.deadline(message),
      change: (...change) => deps.store.outbox.change(...change),
      settler: this.#settler,
      pause: this.#pause,
    };
    const changed = (): void => this.#resting.settingsChanged();
    const { store } = deps;
    this.#watches = [
      store.watch('outbox', this.#heard),
      store.watch('grants', changed),
      store.watch('mailboxes', changed),
    ];
    this.wake();
  }

  /** Looks for work now. */
  wake(): void {
    if (this.#stop.signal.aborted) return;
    if (this.#round) this.#again = true;
    else this.#round = this.#look();
  }

  /** Something changed in the outbox: look, but not at every one of a thousand messages a second. */
  readonly #heard = (): void => {
    const { clock } = this.#deps;
    if (clock.now() - this.#looked >= BREATH_MS) return this.wake();
    this.#breath ??= clock.after(BREATH_MS, () => {
      this.#breath = undefined;
      this.wake();
    });
  };

  /** Resolves when nothing is due and nothing under way. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#rest.push(resolve);
      this.wake();
    });
  }

  /** Lets attempts under way end, then stops. */
  async close(): Promise<void> {
    for (const watch of this.#watches) watch.stop();
    this.#timer?.cancel();
    this.#breath?.cancel();
    this.#stop.abort(new Error('delivery is being stopped'));
    const enough = this.#deps.clock.after(GIVE_UP_MS, () => this.#giveUp.abort(new Error('the database stayed away')));
    await this.#round;
    while (this.#running > 0) await new Promise<void>((resolve) => this.#rest.push(resolve));
    await this.#settler.idle();
    enough.cancel();
    this.#rights.stop();
    await this.#claims.close();
  }

  async #look(): Promise<void> {
    const { clock, log } = this.#deps;
    this.#timer?.cancel();
    do {
      this.#again = false;
      this.#looked = clock.now();
      try {
        await this.#start();
        this.#failures = 0;
      } catch (error) {
        const facts = { err: asError(error) };
        if (this.#failures === 0) log.warn(facts, 'the outbox could not be looked at; it will be again');
        else log.debug(facts, 'the outbox still cannot be looked at');
        this.#arm(clock.now() + backoffMs(this.#failures++, AGAIN));
      }
    } while (this.#again && !this.#stop.signal.aborted);
    this.#round = undefined;
    this.#settleIdle();
  }

  /** Starts what may leave now, and sets the clock for what may later. */
  async #start(): Promise<void> {
    const { clock, owner, store } = this.#deps;
    const { outbox } = store;
    const asked = clock.now();
    await this.#lookAtClock();
    await this.#claims.giveBackLost();
    const now = clock.now();
    // Others were without the database too: who lives has a moment to say so before what it had in hand is taken over.
    if (this.#failures > 0 || now - asked > SLOW_MS) this.#takeOverAt = now + PROLONG_MS + TAKE_OVER_MS;
    if (now >= this.#takeOverAt) {
      const except = this.#claims.ids;
      const left = await outbox.takeOver({ now, until: now + CLAIM_MS, owner, limit: BATCH, except });
      if (left.length < BATCH) this.#takeOverAt = now + TAKE_OVER_MS;
      for (const message of left) this.#run(this.#boxes.of(message.mailbox), () => this.#interrupted(message));
    }
    // What a predecessor had in hand is free when its claim has run out: a process that is new here looks often enough for that.
    let next = now < this.#begun + NEW_MS ? this.#takeOverAt : now + LOOK_MS;
    this.#crowded = false;
    const all = await outbox.dueMailboxes(now);
    await this.#boxes.letReleased(all, now);
    for (const due of this.#turns.order(all)) {
      const box = this.#boxes.of(due.mailbox);
      if (box.waitUntil > now) {
        next = Math.min(next, box.waitUntil);
        continue;
      }
      if (this.#stop.signal.aborted) break;
      if (this.#running >= (this.#deps.atOnce ?? AT_ONCE)) {
        this.#crowded = true;
        break;
      }
      await this.#startMailbox(due.mailbox, box);
      this.#turns.had(due);
    }
    const due = await outbox.nextDue();
    if (due !== undefined && due > now) next = Math.min(next, due);
    this.#arm(next);
  }

  /** What of the time of day cannot be true is put right, and time without delivery does not count towards deadlines. */
  async #lookAtClock(): Promise<void> {
    const { clock } = this.#deps;
    const { first, jumped } = await this.#passing.look();
    if (first) await this.#resting.load();
    if (!jumped) return;
    // Those of others have a moment to say that they are alive.
    const now = clock.now();
    await this.#claims.prolong();
    this.#takeOverAt = now + PROLONG_MS + TAKE_OVER_MS;
    for (const box of this.#boxes.all()) box.waitUntil = 0;
    this.#resting.tryNow();
  }

  /** What rested does so no longer: whoever waited for it may go. */
  readonly #opened = (): void => {
    for (const box of this.#boxes.all()) {
      if (!box.rests) continue;
      box.rests = false;
      box.waitUntil = 0;
    }
    this.wake();
  };

  async #startMailbox(address: string, box: Box): Promise<void> {
    const { clock, log, store } = this.#deps;
    const mailbox = await store.mailboxes.opened(address);
    if (!mailbox || mailbox.settings.outboxHeld !== undefined) {
      // A mailbox that was removed keeps its mail until it is back or the messages are cancelled.
      box.waitUntil = clock.now() + LOOK_MS;
      if (!mailbox) log.warn({ mailbox: address }, 'mail waits for a mailbox that is not there');
      return;
    }
    const limits = await this.#deps.limits(mailbox);
    while (box.running < limits.connections && this.#running < (this.#deps.atOnce ?? AT_ONCE)) {
      this.#run(box, () => this.#empty(mailbox, box, limits));
      // One more only if there is work for it: the first one claims before the next starts.
      if (limits.messagesPerMinute !== undefined && box.running >= 1) break;
    }
  }

  /** Sends what is due of a mailbox, message by message, until there is none or it has to wait. */
  async #empty(mailbox: Mailbox, box: Box, limits: SendingLimits): Promise<void> {
    const { clock, owner, store } = this.#deps;
    const batch = limits.messagesPerMinute === undefined && limits.recipientsPerDay === undefined ? BATCH : 1;
    const unsettled = new Unsettled();
    // The mailbox is as it was when this began, and so are its ways out.
    const routes = await this.#attempt.routes(mailbox);
    while (!this.#stop.signal.aborted && box.waitUntil <= clock.now() && !unsettled.failed) {
      const now = clock.now();
      const claim = { mailbox: mailbox.address, now, owner, ways: waysText(routes), limit: batch };
      const messages = await this.#claims.take((until) => store.outbox.claim({ ...claim, until }), now);
      const [first] = messages;
      if (!first) break;
      /** No attempt has begun at these. */
      const untouched = new Set(messages);
      try {
        const recipients = first.recipients.filter(({ state }) => state === 'pending').length;
        const permission = await reserve(store.outbox, mailbox.address, recipients, limits, clock.now());
        if (permission.type === 'wait') {
          box.waitUntil = permission.until;
          break;
        }
        // The next one may leave while this one is under way, on another connection.
        if (box.running < limits.connections) this.wake();
        for (const message of messages) {
          await databaseBack(this.#settler, this.#claims, this.#giveUp.signal);
          // What waited for longer than anything does is given up without a try of its own.
          const waits = box.waitUntil > clock.now() && message.deadline + MAX_UNCOUNTED_MS > clock.now();
          // What it may send as counts as it is set up now.
          const current = await this.#rights.mailbox(mailbox.address);
          if (!current) box.waitUntil = clock.now() + LOOK_MS;
          const isOurs = this.#claims.of(message.id).lasts;
          if (this.#stop.signal.aborted || !current || !isOurs || (waits && message !== first)) continue;
          untouched.delete(message);
          await unsettled.add(this.#try(message, current, routes));
        }
      } finally {
        await giveBack(this.#attempt, this.#claims, [...untouched]);
      }
      // Others wait for a place: they get this one, and this mailbox its turn again after them.
      if (this.#crowded) break;
    }
    await unsettled.end().catch((error: unknown) => {
      // A store that takes claims and no outcomes: each round would leave more messages in doubt.
      box.waitUntil = clock.now() + LOOK_MS;
      throw error;
    });
  }

  async #try(message: OutboxMessage, mailbox: Mailbox, ways: readonly Route[] | 'interrupted'): Promise<Attempted> {
    const claim = this.#claims.of(message.id);
    const over = (): void => this.#claims.drop(message.id, claim);
    try {
      const { restsUntil, settled } = await attempt(this.#attempt, message, mailbox, claim, this.#stop.signal, ways);
      if (restsUntil !== undefined) {
        const box = this.#boxes.of(mailbox.address);
        box.waitUntil = restsUntil;
        box.rests = true;
        box.shutAt ??= this.#deps.clock.now();
      }
      return { settled: settled.finally(over) };
    } catch (error) {
      // The database went away before anything was handed over.
      if (isAway(error) && ways !== 'interrupted') await giveBack(this.#attempt, this.#claims, [message]);
      else if (this.#stop.signal.aborted) this.#claims.leave(message.id, claim);
      over();
      throw error;
    }
  }

  /** A process died in the middle of this one. */
  async #interrupted(message: OutboxMessage): Promise<void> {
    const mailbox = await this.#deps.store.mailboxes.opened(message.mailbox);
    if (!mailbox) return;
    this.#claims.hold(message.id, this.#deps.clock.now());
    return (await this.#try(message, mailbox, 'interrupted')).settled;
  }

  readonly #pause = async (mailbox: Mailbox, until: number | 'blocked'): Promise<void> => {
    const now = this.#deps.clock.now();
    const box = this.#boxes.of(mailbox.address);
    box.waitUntil = until === 'blocked' ? now + BLOCKED_MS : until;
    box.shutAt = until === 'blocked' ? now : undefined;
    box.rests = false;
    if (until !== 'blocked') await pause(this.#deps.store.outbox, mailbox.address, until);
  };

  #run(box: Box, work: () => Promise<void>): void {
    this.#running += 1;
    box.running += 1;
    work()
      .catch((error: unknown) => {
        // What was claimed stays so until its time is up; then it is looked into as any interrupted attempt.
        if (this.#stop.signal.aborted) return;
        const { log } = this.#deps;
        if (isAway(error)) log.warn({ err: asError(error) }, 'delivery waits until the database is back');
        else log.error({ err: asError(error) }, 'delivery stumbled');
      })
      .finally(() => {
        this.#running -= 1;
        box.running -= 1;
        if (this.#stop.signal.aborted) this.#settleIdle();
        else this.wake();
      });
  }

  #arm(at: number): void {
    this.#timer?.cancel();
    if (this.#stop.signal.aborted) return;
    this.#timer = this.#deps.clock.after(Math.max(1, at - this.#deps.clock.now()), () => this.wake());
  }

  #settleIdle(): void {
    if (this.#running > 0 || (this.#round && !this.#stop.signal.aborted)) return;
    for (const resolve of this.#rest.splice(0)) resolve();
  }
}
