/**
 * Brute force, slowed. An app password has 128 random bits, so guessing is hopeless anyway; what this stops is the noise: CPU,
 * log lines, and programs that hammer with an old password.
 *
 * Only wrong passwords are slowed, by their client's address and by the mailbox they were tried on. A right one is never made
 * to wait: otherwise a stranger's failures, or one misconfigured program behind the same address, would lock the owner out.
 */
import type { Clock } from '../base/clock.ts';

export interface Wait {
  readonly waitMs: number;
  readonly retryAt: number;
}

/** Typing errors, and a program trying every protocol once, must not be slowed. */
const FREE_FAILURES = { address: 5, mailbox: 20 };
/** Doubles from here with each further failure. */
const FIRST_WAIT_MS = 500;
/** A mail program gives up after about a minute; a held connection counts against its address's limit meanwhile. */
const MOST_WAIT_MS = { address: 30_000, mailbox: 5_000 };
/** Failures are forgotten one by one, each after this. */
const FORGET_ONE_MS = 60_000;
/** No more are remembered, so that the way back to normal is at most half an hour. */
const MOST_FAILURES = 30;
/** Entries of each map; the oldest go first. Some 2 MB at most. */
const MOST_ENTRIES = 10_000;

interface Failures {
  readonly count: number;
  readonly at: number;
}

export class SlowDown {
  readonly #clock: Clock;
  readonly #failures = { address: new Map<string, Failures>(), mailbox: new Map<string, Failures>() };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a wrong password and says how long its answer has to wait; undefined: not at all. */
  failed(client: string, mailbox: string): Wait | undefined {
    const waitMs = Math.max(this.#failed('address', client), this.#failed('mailbox', mailbox));
    return waitMs === 0 ? undefined : { waitMs, retryAt: this.#clock.now() + waitMs };
  }

  /** The client knows a right password: its failures were mistakes. */
  succeeded(client: string): void {
    this.#failures.address.delete(client);
  }

  #failed(kind: 'address' | 'mailbox', key: string): number {
    const map = this.#failures[kind];
    const now = this.#clock.now();
    const before = map.get(key);
    const forgotten = before === undefined ? 0 : Math.floor((now - before.at) / FORGET_ONE_MS);
    const count = Math.min(MOST_FAILURES, Math.max(0, (before?.count ?? 0) - forgotten) + 1);
    map.delete(key);
    if (map.size >= MOST_ENTRIES) map.delete(map.keys().next().value!);
    map.set(key, { count, at: now });
    const over = count - FREE_FAILURES[kind];
    return over <= 0 ? 0 : Math.min(MOST_WAIT_MS[kind], FIRST_WAIT_MS * 2 ** (over - 1));
  }
}
