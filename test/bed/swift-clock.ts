/** The time of real processes, started one after the other on one home: faster than ours, and leaping between them. */
import { join } from 'node:path';

export class SwiftClock {
  readonly #pace: number;
  #base = Date.now();
  #origin = Date.now();

  /** @param pace how many times faster than ours it goes */
  constructor(pace: number) {
    this.#pace = pace;
  }

  /** `ms` of its milliseconds pass at once: between two processes, never under one. */
  leap(ms: number): void {
    const now = Date.now();
    this.#base += (now - this.#origin) * this.#pace + ms;
    this.#origin = now;
  }

  /** Environment of a process that lives by it. */
  get env(): Readonly<Record<string, string>> {
    return {
      NODE_OPTIONS: `--import=${join(import.meta.dirname, 'swift-clock-program.ts')}`,
      TEST_CLOCK: JSON.stringify({ base: this.#base, origin: this.#origin, pace: this.#pace }),
    };
  }
}
