/**
 * Where much has lately been uploaded from: connections from there are given room to read into. With the small buffer of the
 * others (`protocol/tls/server.ts`) an upload costs a fifth more; with room, each idle session ten KiB more.
 */
import type { Clock } from '../base/clock.ts';

/** Octets in one session; what a telephone sends in an hour of reading is a hundredth of it. */
const MUCH = 1024 * 1024;
/** Who scans, moves or archives mail comes again soon. */
const LATELY_MS = 3_600_000;
/** The one that came first is forgotten. */
const MOST_ADDRESSES = 1000;

export class Uploaders {
  readonly #clock: Clock;
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A session from this address has ended that sent so many octets. */
  learn(address: string, octets: number): void {
    if (octets < MUCH) return;
    this.#until.delete(address);
    if (this.#until.size >= MOST_ADDRESSES) this.#until.delete(this.#until.keys().next().value!);
    this.#until.set(address, this.#clock.now() + LATELY_MS);
  }

  has(address: string): boolean {
    const until = this.#until.get(address);
    if (until === undefined) return false;
    if (until > this.#clock.now()) return true;
    this.#until.delete(address);
    return false;
  }
}
