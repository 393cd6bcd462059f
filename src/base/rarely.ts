/** What a stranger can cause as often as they like is said once, and then now and then with how often it was. */
import type { Clock } from './clock.ts';

/** Keys that are remembered; the oldest goes first. */
const MAX_KEYS = 1000;

export class Rarely {
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #said = new Map<string, { at: number; since: number }>();

  /** @param everyMs milliseconds between two lines of the same key */
  constructor(clock: Clock, everyMs: number) {
    this.#clock = clock;
    this.#everyMs = everyMs;
  }

  /** How often it has happened since it was last said, this time included, when it is to be said now; otherwise undefined. */
  due(key: string): number | undefined {
    const now = this.#clock.now();
    const known = this.#said.get(key);
    if (known !== undefined && now - known.at < this.#everyMs) {
      known.since += 1;
      return undefined;
    }
    this.#said.delete(key);
    if (this.#said.size >= MAX_KEYS) this.#said.delete(this.#said.keys().next().value!);
    this.#said.set(key, { at: now, since: 0 });
    return (known?.since ?? 0) + 1;
  }
}
