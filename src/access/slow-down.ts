/**
 * Brute force, slowed. An app password has 128 random bits, so guessing is hopeless anyway; what this stops is the noise: CPU,
 * log lines, and programs that hammer with an old password.
 *
 * Failures count per client address and per mailbox. The address is slowed hard. The mailbox only a little, and never for an
 * address that has signed in to it lately, so that a stranger's failures cannot lock its owner out.
 */
import type { Clock } from '../base/clock.ts';

export interface Wait {
  readonly waitMs: number;
  readonly retryAt: number;
}

/** Typing errors and a program trying every protocol once must not be slowed. */
const FREE_FAILURES = { address: 5, mailbox: 20 };
/** Doubles from here with each further failure. */
const FIRST_WAIT_MS = 500;
const MOST_WAIT_MS = { address: 30_000, mailbox: 2_000 };
/** Failures are forgotten one by one, each after this. */
const FORGET_ONE_MS = 60_000;
/** An address that signed in to a mailbox this recently is no stranger to it. */
const KNOWN_FOR_MS = 7 * 86_400_000;
/** Entries of each map; the oldest go first. Some 2 MB at most. */
const MOST_ENTRIES = 10_000;

interface Failures {
  count: number;
  /** When `count` was last brought up to date. */
  at: number;
}

export class SlowDown {
  readonly #clock: Clock;
  readonly #failures = { address: new Map<string, Failures>(), mailbox: new Map<string, Failures>() };
  readonly #known = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long this attempt has to wait; undefined: not at all. */
  wait(client: string, mailbox: string): Wait | undefined {
    const known = (this.#known.get(`${client} ${mailbox}`) ?? 0) > this.#clock.now() - KNOWN_FOR_MS;
    const waitMs = Math.max(this.#waitOf('address', client), known ? 0 : this.#waitOf('mailbox', mailbox));
    return waitMs === 0 ? undefined : { waitMs, retryAt: this.#clock.now() + waitMs };
  }

  failed(client: string, mailbox: string): void {
    for (const [kind, key] of [
      ['address', client],
      ['mailbox', mailbox],
    ] as const) {
      const map = this.#failures[kind];
      const count = this.#count(kind, key) + 1;
      map.delete(key);
      remember(map, key, { count, at: this.#clock.now() });
    }
  }

  succeeded(client: string, mailbox: string): void {
    this.#failures.address.delete(client);
    const key = `${client} ${mailbox}`;
    this.#known.delete(key);
    remember(this.#known, key, this.#clock.now());
  }

  #waitOf(kind: 'address' | 'mailbox', key: string): number {
    const over = this.#count(kind, key) - FREE_FAILURES[kind];
    return over < 0 ? 0 : Math.min(MOST_WAIT_MS[kind], FIRST_WAIT_MS * 2 ** Math.min(over, 20));
  }

  #count(kind: 'address' | 'mailbox', key: string): number {
    const entry = this.#failures[kind].get(key);
    if (!entry) return 0;
    return Math.max(0, entry.count - Math.floor((this.#clock.now() - entry.at) / FORGET_ONE_MS));
  }
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  if (map.size >= MOST_ENTRIES) map.delete(map.keys().next().value!);
  map.set(key, value);
}
