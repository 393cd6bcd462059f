/**
 * The end of the audit chain as it is kept apart from the records. A key that is not in the database signs it, so that somebody
 * who owns the database can neither cut the chain nor write it again without being seen. An old head that was put back together
 * with the records of its time cannot be told; exports kept elsewhere tell it.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { canonical } from './chain.ts';
import type { AuditHead, AuditKey } from './types.ts';

/** `new`: nothing was ever written. `unsigned`: a version before this kind of head wrote last. */
export type HeadState = 'signed' | 'new' | 'unsigned' | 'forged';

export function headState(head: AuditHead, { key, signed }: AuditKey): HeadState {
  if (head.mac === undefined) {
    if (head.seq === 0 && !head.anchor && !head.broken && !signed) return 'new';
    return signed ? 'forged' : 'unsigned';
  }
  const right = Buffer.from(macOf(head, key));
  const given = Buffer.from(head.mac);
  return right.length === given.length && timingSafeEqual(right, given) ? 'signed' : 'forged';
}

export function withMac(head: AuditHead, { key }: AuditKey): AuditHead {
  return { ...head, mac: macOf(head, key) };
}

function macOf({ seq, hash, anchor, broken }: AuditHead, key: Uint8Array): string {
  return createHmac('sha256', key).update(canonical({ seq, hash, anchor, broken })).digest('hex');
}
