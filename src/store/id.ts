/** Names of rows. */
import { randomFillSync } from 'node:crypto';
import { base32 } from '../base/base32.ts';

/** Random octets are drawn many at a time: every session needs a name, and each draw costs a call into OpenSSL. */
const pool = Buffer.alloc(4096);
let used = pool.length;
const ID_OCTETS = 16;

/** A new id, `<prefix>_<26 base 32 characters>`: 128 random bits, so that machines need not agree on anything. */
export function newId(prefix: string): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const octets = pool.subarray(used, (used += ID_OCTETS));
  return `${prefix}_${base32(octets)}`;
}
