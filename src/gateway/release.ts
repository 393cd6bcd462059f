/** Memory of octets that pass. */

/**
 * Whose the memory of octets is: `kept` ours, `free` ours and nobody else's, `borrowed` somebody's who writes over it when we
 * return, `lent` the room of our gathering.
 */
export type Memory = 'kept' | 'free' | 'borrowed' | 'lent';

/** Gives back the memory of a chunk that a stream handed out, now instead of at some collection. */
export function release(bytes: Buffer): void {
  if (bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength) bytes.buffer.transfer(0);
}
