/** Octets of one direction that wait for those that follow them, in one buffer that doubles: a slow drip costs linear time. */

const NOTHING = Buffer.alloc(0);
/** Most commands that arrive in pieces fit. */
const SMALLEST = 256;

export class Unfinished {
  #memory: Buffer = NOTHING;
  length = 0;

  /** Octets of memory it has taken. */
  get memory(): number {
    return this.#memory.length;
  }

  add(bytes: Buffer): void {
    const length = this.length + bytes.length;
    if (length > this.#memory.length) {
      const larger = Buffer.allocUnsafe(Math.max(SMALLEST, length * 2));
      this.#memory.copy(larger, 0, 0, this.length);
      this.#memory = larger;
    }
    bytes.copy(this.#memory, this.length);
    this.length = length;
  }

  /** The first octets, one per character. */
  start(most: number): string {
    return this.#memory.toString('latin1', 0, Math.min(most, this.length));
  }

  /** @returns all of it, and keeps nothing */
  take(): Buffer {
    const all = this.#memory.subarray(0, this.length);
    this.#memory = NOTHING;
    this.length = 0;
    return all;
  }

  /** The same with these behind it. */
  takeWith(bytes: Buffer): Buffer {
    if (this.length + bytes.length > this.#memory.length) return Buffer.concat([this.take(), bytes]);
    if (bytes.length > 0) this.add(bytes);
    return this.take();
  }
}
