/** Octets that come in pieces. */

/**
 * Octets as they come, once. Whoever stops reading leaves the rest there, to be read on. Not an async generator: those make
 * several promises more of every piece, and small messages have no more than one.
 */
export class Pieces implements AsyncIterable<Buffer> {
  readonly #next: () => Promise<Buffer | undefined>;
  /** Handed out so far. */
  octets = 0;

  /** @param next gives the next piece, never an empty one; undefined at the end, and again if asked again */
  constructor(next: () => Promise<Buffer | undefined>) {
    this.#next = next;
  }

  /** Undefined at the end. */
  async next(): Promise<Buffer | undefined> {
    const piece = await this.#next();
    if (piece) this.octets += piece.length;
    return piece;
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer, undefined, undefined> {
    const next = async (): Promise<IteratorResult<Buffer, undefined>> => {
      const value = await this.next();
      return value ? { value, done: false } : { value, done: true };
    };
    return { next };
  }
}
