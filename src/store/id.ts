/** Names of rows. */
import { randomFillSync } from 'node:crypto';
import { base32 } from '../base/base32.ts';

/** Random octets are drawn many at a time: every session needs a name, and each draw costs a call into OpenSSL. */
const pool = Buffer.alloc(4096);
let used = pool.length;
const ID_OCTETS = 16;
const TIME_OCTETS = 6;

/**
 * A new id, `<prefix>_<26 base 32 characters>`: 128 random bits, so that machines need not agree on anything. @param at
 * milliseconds since the epoch, which then take the place of the first 48: rows made at about the same time lie together in
 * their indexes, which matters where there are a million
 */
export function newId(prefix: string, at?: number): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const octets = pool.subarray(used, (used += ID_OCTETS));
  if (at !== undefined) octets.writeUIntBE(at, 0, TIME_OCTETS);
  return `${prefix}_${base32(octets)}`;
}
