/** The messages that this process has claimed, and for how long it may still finish them. */
import type { Clock, Timer } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import type { OutboxTable } from '../../store/types-outbox.ts';
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

  get lasts(): boolean {
    return this.#clock.now() < this.#until && (this.#clock.monotonic?.() ?? -Infinity) < this.#ticksUntil;
  }
}

export interface ClaimsDeps {
  readonly outbox: Pick<OutboxTable, 'prolong'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Names this process in claims. */
  readonly owner: string;
}

export class Claims {
  readonly #deps: ClaimsDeps;
  readonly #held = new Map<string, Claim>();
  /** Attempts that were broken off when delivery was stopped: their claims end at once. */
  readonly #left: string[] = [];
  #timer: Timer | undefined;

  constructor(deps: ClaimsDeps) {
    this.#deps = deps;
  }

  get ids(): readonly string[] {
    return [...this.#held.keys()];
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

  /** Claims of ours that are alive are ours by the new time as well. @throws store.unavailable */
  async clockWasSet(now: number): Promise<void> {
    await this.#deps.outbox.prolong(this.#deps.owner, this.ids, now + CLAIM_MS);
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
    const { clock, log, outbox, owner } = this.#deps;
    this.#timer = clock.after(PROLONG_MS, () => {
      this.#timer = undefined;
      if (this.#held.size > 0) this.#arm();
      const lasting = [...this.#held].filter(([, { lasts }]) => lasts);
      if (lasting.length === 0) return;
      const now = clock.now();
      const ids = lasting.map(([id]) => id);
      outbox.prolong(owner, ids, now + CLAIM_MS).then(
        () => {
          for (const [, claim] of lasting) claim.prolong(now);
        },
        (error: unknown) => log.warn({ err: asError(error) }, 'claims could not be prolonged'),
      );
    });
  }
}
