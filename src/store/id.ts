/** Names of rows. */
import { randomBytes } from 'node:crypto';
import { base32 } from '../base/base32.ts';

/** A new id, `<prefix>_<26 base 32 characters>`: 128 random bits, so that machines need not agree on anything. */
export function newId(prefix: string): string {
  return `${prefix}_${base32(randomBytes(16))}`;
}
