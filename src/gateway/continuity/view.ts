/** What a client was told of its selected mailbox: how many messages, and which UIDs its sequence numbers stand for (RFC 9051 §2.3.1). */
import { parseSequenceSet } from '../../protocol/imap/sequence-set.ts';

export class MessageView {
  count: number;
  /** UID by sequence number minus one, 0 where it was not asked for; longer than needed. Undefined until somebody asks. */
  #uids: Uint32Array | undefined;
  #known = 0;
  /** The server's numbers do not fit together: only another SELECT helps. */
  broken = false;

  constructor(count = 0) {
    this.count = count;
  }

  /** True when every sequence number's UID is known. */
  get complete(): boolean {
    return this.#known === this.count && !this.broken;
  }

  /** The lowest sequence number whose UID is not known, or one more than there are. */
  get firstUnknown(): number {
    if (this.complete) return this.count + 1;
    const at = this.#uids?.subarray(0, this.count).indexOf(0) ?? 0;
    return at === -1 ? this.count + 1 : at + 1;
  }

  /** EXISTS. A count that falls without EXPUNGE is against the protocol. */
  exists(count: number): void {
    if (count < this.count) this.broken = true;
    this.count = count;
  }

  /** EXPUNGE. */
  expunge(number: number): void {
    if (number < 1 || number > this.count) {
      this.broken = true;
      return;
    }
    if (this.#uids !== undefined && number <= this.#uids.length) {
      const end = Math.min(this.count, this.#uids.length);
      if (this.#uids[number - 1] !== 0) this.#known -= 1;
      this.#uids.copyWithin(number - 1, number, end);
      this.#uids[end - 1] = 0;
    }
    this.count -= 1;
  }

  /** VANISHED without EARLIER (RFC 7162 §3.2.10). @throws wire.syntax */
  vanished(set: string): void {
    let gone = 0;
    const ranges = parseSequenceSet(set).map(([a, b]) => [
      Math.min(Number(a), Number(b)),
      Math.max(Number(a), Number(b)),
    ]);
    if (!this.complete) {
      // Which numbers are meant is not known, only how many they are.
      for (const [from, to] of ranges) gone += to! - from! + 1;
      this.broken ||= gone > this.count;
      this.#forget();
      this.count -= Math.min(gone, this.count);
      return;
    }
    for (let number = this.count; number >= 1; number--) {
      const uid = this.#uids![number - 1]!;
      if (ranges.some(([from, to]) => uid >= from! && uid <= to!)) this.expunge(number);
    }
  }

  /** A message's UID was told. */
  learn(number: number, uid: number): void {
    if (number < 1 || number > this.count) {
      this.broken = true;
      return;
    }
    if (this.#uids === undefined || this.#uids.length < number) {
      const larger = new Uint32Array(this.count + SPARE);
      if (this.#uids !== undefined) larger.set(this.#uids);
      this.#uids = larger;
    }
    if (this.#uids[number - 1] === 0) this.#known += 1;
    this.#uids[number - 1] = uid;
  }

  /** UIDs by sequence number, 0 where not known. Good until the next change. */
  uids(): Uint32Array {
    if (this.#uids !== undefined && this.#uids.length >= this.count) return this.#uids.subarray(0, this.count);
    const all = new Uint32Array(this.count);
    if (this.#uids !== undefined) all.set(this.#uids);
    return all;
  }

  #forget(): void {
    this.#uids = undefined;
    this.#known = 0;
  }
}

/** Room for messages that arrive. */
const SPARE = 64;

/** How to get from what the client was told to what another session of the same mailbox shows. */
export type Difference =
  | {
      readonly type: 'known';
      /** Sequence numbers that are gone, highest first, and their UIDs; each counts as the client counts when it is told in this order. */
      readonly expunged: readonly number[];
      readonly vanished: readonly number[];
      readonly count: number;
      /** Messages the client has not heard of. */
      readonly added: number;
      /** Some that are counted as gone may only not have been seen yet by the other session: they are newer than all it shows. */
      readonly unsure: boolean;
    }
  /** The other session shows a message that the client was told is gone: it is not up to date yet. */
  | { readonly type: 'behind' }
  /** It cannot be told which messages the client means. */
  | { readonly type: 'unknown' };

/**
 * Compares. Sequence numbers at the end whose UIDs nobody was ever told (`told` has 0 there) stand for whatever follows the
 * known ones: as the client knows nothing of those messages but their number, that is the truth as far as it can tell.
 * @param freeEnd whether the client can know nothing of the messages at the end without a known UID
 */
export function difference(told: MessageView, now: MessageView, freeEnd: boolean): Difference {
  if (!now.complete || told.broken) return { type: 'unknown' };
  const [before, after] = [told.uids(), now.uids()];
  const firstUnknown = told.firstUnknown - 1;
  if (before.subarray(firstUnknown).some((uid) => uid !== 0)) return { type: 'unknown' };
  if (firstUnknown < before.length && !freeEnd) return { type: 'unknown' };
  if (!isAscending(after) || !isAscending(before.subarray(0, firstUnknown))) return { type: 'unknown' };
  const expunged: number[] = [];
  let at = 0;
  for (let index = 0; index < firstUnknown; index++) {
    const uid = before[index]!;
    if (after[at] === uid) at += 1;
    else if (at < after.length && after[at]! < uid) return { type: 'behind' };
    else expunged.push(index + 1);
  }
  const assigned = Math.min(before.length - firstUnknown, after.length - at);
  for (let index = firstUnknown + assigned; index < before.length; index++) expunged.push(index + 1);
  expunged.reverse();
  return {
    type: 'known',
    expunged,
    vanished: expunged.map((number) => before[number - 1]!).filter((uid) => uid !== 0),
    count: after.length,
    added: after.length - at - assigned,
    unsure: firstUnknown > 0 && before[firstUnknown - 1]! > (after.at(-1) ?? 0),
  };
}

function isAscending(uids: Uint32Array): boolean {
  for (let index = 1; index < uids.length; index++) if (uids[index]! <= uids[index - 1]!) return false;
  return true;
}
