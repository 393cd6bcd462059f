/** What one authorization server is given to do at a time: so many requests at once, and so many in a second. */
import type { Clock } from '../base/clock.ts';

export interface LaneLimits {
  /** Requests under way at once. */
  readonly concurrency: number;
  /** Requests in a second, on average; as many as `concurrency` may start together. */
  readonly rate: number;
}

export class Lane {
  readonly authority: string;
  /** Whose grants are renewed here. */
  applicationIds: readonly string[] = [];
  inFlight = 0;
  readonly #clock: Clock;
  readonly #limits: LaneLimits;
  #available: number;
  #refilledAt: number;
  #pausedUntil = 0;

  constructor(authority: string, clock: Clock, limits: LaneLimits) {
    this.authority = authority;
    this.#clock = clock;
    this.#limits = limits;
    this.#available = limits.concurrency;
    this.#refilledAt = clock.now();
  }

  /** How many requests may start now. */
  room(): number {
    this.#refill();
    if (this.#clock.now() < this.#pausedUntil) return 0;
    return Math.min(this.#limits.concurrency - this.inFlight, Math.floor(this.#available));
  }

  take(): void {
    this.inFlight += 1;
    this.#available -= 1;
  }

  release(): void {
    this.inFlight -= 1;
  }

  /** Milliseconds until time alone may give room; a request that ends may give it earlier. */
  waitMs(): number {
    const pause = this.#pausedUntil - this.#clock.now();
    if (pause > 0) return pause;
    return this.#available >= 1 ? 0 : Math.ceil(((1 - this.#available) * 1000) / this.#limits.rate);
  }

  /** The server asked for patience (Retry-After). */
  pause(until: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, until);
  }

  /** The time of day moved: what was counted by it is void. */
  restart(): void {
    this.#pausedUntil = 0;
    this.#refilledAt = this.#clock.now();
  }

  #refill(): void {
    const now = this.#clock.now();
    const gained = (Math.max(0, now - this.#refilledAt) * this.#limits.rate) / 1000;
    this.#available = Math.min(this.#limits.concurrency, this.#available + gained);
    this.#refilledAt = now;
  }
}
