/** The messages that this process has claimed, and for how long it may still finish them. */
import type { Clock, Timer } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import { isAway } from '../../store/outlast.ts';
import type { OutboxMessage, OutboxTable } from '../../store/types-outbox.ts';
import type { Hold } from './job.ts';

/**
 * A claim is good for this long and prolonged in time: after a crash others wait no longer. Whoever could not prolong it does
 * not finish what is under way, so that a process that stood still cannot send what another one sends again.
 */
export const CLAIM_MS = 15_000;
export const PROLONG_MS = 5_000;

/** The right to one message. It ends by itself, and for good when somebody else takes the message over. */
export class Claim implements Hold {
  readonly #clock: Clock;
  #until = 0;
  #ticksUntil = Infinity;

  constructor(clock: Clock, at: number) {
    this.#clock = clock;
    this.prolong(at);
  }

  /** @param at when that was written down; by both clocks, as one goes wrong when it is set and the other when the machine sleeps */
  prolong(at: number): void {
    this.#until = at + CLAIM_MS;
    const ticks = this.#clock.monotonic?.();
    if (ticks !== undefined) this.#ticksUntil = ticks - (this.#clock.now() - at) + CLAIM_MS;
  }

  /** Somebody else has it, or it is over. */
  end(): void {
    this.#until = 0;
  }

  get lasts(): boolean {
    return this.#clock.now() < this.#until && (this.#clock.monotonic?.() ?? -Infinity) < this.#ticksUntil;
  }
}

export interface ClaimsDeps {
  readonly outbox: Pick<OutboxTable, 'prolong' | 'unclaim'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Names this process in claims. */
  readonly owner: string;
}

/** A commit whose answer was lost may still be under way when the database is back; statements end within this. */
const LOST_MS = 60_000;

export class Claims {
  readonly #deps: ClaimsDeps;
  readonly #held = new Map<string, Claim>();
  /** Attempts that were broken off when delivery was stopped: their claims end at once. */
  readonly #left: string[] = [];
  /** Claims that are being written down, by the moment they last until, which no two of them share. */
  readonly #asked = new Set<number>();
  /** Those of which nobody knows whether they were, and since when that may be looked at; undefined: the database is still away. */
  readonly #lost = new Map<number, number | undefined>();
  #timer: Timer | undefined;
  /** While claims are being prolonged. */
  #prolonging: Promise<void> | undefined;

  constructor(deps: ClaimsDeps) {
    this.#deps = deps;
  }

  get ids(): readonly string[] {
    return [...this.#held.keys()];
  }

  /**
   * Claims by `work`, which is given the moment the claim lasts until. When the answer is lost, what was claimed is given back as
   * soon as the database is back: no attempt has begun. @throws store.unavailable
   */
  async take(
    work: (until: number) => Promise<readonly OutboxMessage[]>,
    now: number,
  ): Promise<readonly OutboxMessage[]> {
    let until = now + CLAIM_MS;
    while (this.#asked.has(until) || this.#lost.has(until)) until -= 1;
    this.#asked.add(until);
    try {
      const messages = await work(until);
      for (const { id } of messages) this.hold(id, now);
      return messages;
    } catch (error) {
      if (isAway(error)) this.#lost.set(until, undefined);
      throw error;
    } finally {
      this.#asked.delete(until);
    }
  }

  /** Gives back what {@link take} may have claimed without knowing. @throws store.unavailable */
  async giveBackLost(): Promise<void> {
    if (this.#lost.size === 0) return;
    const { clock, log, outbox, owner } = this.#deps;
    const untils = [...this.#lost.keys()];
    const messages = await outbox.unclaim({ owner, untils, now: clock.now() });
    if (messages > 0) log.info({ messages }, 'mail that was claimed while the database went away is back in the queue');
    const now = clock.now();
    for (const until of untils) {
      const since = this.#lost.get(until) ?? now;
      if (Math.abs(now - since) > LOST_MS) this.#lost.delete(until);
      else this.#lost.set(until, since);
    }
  }

  /** A message is ours from `now` on. */
  hold(id: string, now: number): void {
    this.#held.set(id, new Claim(this.#deps.clock, now));
    if (!this.#timer) this.#arm();
  }

  of(id: string): Claim {
    return this.#held.get(id)!;
  }

  /** It is done with, unless it was claimed again meanwhile. @param claim the one it was done under; any unless given */
  drop(id: string, claim = this.#held.get(id)): void {
    if (this.#held.get(id) === claim) this.#held.delete(id);
  }

  /** Its attempt was broken off by a stop. */
  leave(id: string, claim: Claim): void {
    if (claim.lasts) this.#left.push(id);
  }

  /** Claims that nobody else has taken over are ours from now on, also where they ran out while the database was away. @throws store.unavailable */
  async prolong(): Promise<void> {
    // One after the other: two would wait for the same rows.
    while (this.#prolonging) await this.#prolonging;
    const run = this.#prolong();
    const over = (): void => (this.#prolonging = undefined);
    this.#prolonging = run.then(over, over);
    return run;
  }

  async #prolong(): Promise<void> {
    const { clock, outbox, owner } = this.#deps;
    const held = [...this.#held];
    if (held.length === 0) return;
    const now = clock.now();
    const ids = held.map(([id]) => id);
    const ours = new Set(await outbox.prolong(owner, ids, now + CLAIM_MS));
    for (const [id, claim] of held)
      if (ours.has(id)) claim.prolong(now);
      else claim.end();
  }

  /** Whoever comes next need not wait for claims of attempts that were broken off. */
  async close(): Promise<void> {
    const { clock, log, outbox, owner } = this.#deps;
    this.#timer?.cancel();
    if (this.#left.length === 0) return;
    try {
      await outbox.prolong(owner, this.#left, clock.now());
    } catch (error) {
      log.debug({ err: asError(error) }, 'claims are left to run out');
    }
  }

  /** Keeps what is under way ours, for as long as anything is. */
  #arm(): void {
    const { clock, log } = this.#deps;
    this.#timer = clock.after(PROLONG_MS, () => {
      this.#timer = undefined;
      if (this.#held.size === 0) return;
      this.#arm();
      // The database is slow, or away: the next one follows when this one is over.
      if (this.#prolonging) return;
      this.prolong().catch((error: unknown) => log.warn({ err: asError(error) }, 'claims could not be prolonged'));
    });
  }
}
