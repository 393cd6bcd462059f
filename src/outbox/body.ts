/** Octets of messages at rest: chunks sealed one by one, so that no message has to fit into memory. */
import { collectYoung } from '../base/collection.ts';
import type { DataKey, Vault } from '../vault/types.ts';
import type { OutboxMessage, OutboxTable } from '../store/types-outbox.ts';
import { SEAL } from '../vault/envelope.ts';
import { outboxError } from './errors.ts';

/** Octets of a chunk before sealing. */
export const CHUNK_OCTETS = 256 * 1024;

/** Of so many chunks the buffers may lie around: 4 MiB, and as much again of what came from the connection. */
const CHUNKS_A_SWEEP = 16;

/** Pieces kept as they came; a message of one or two is not copied. */
const MAX_PIECES = 16;
const SMALLEST = 4096;

/** The name under which the data key of these octets is sealed. */
export const recordOf = (bodyId: string): string => `message/${bodyId}`;

/** Each chunk says its number and whether it is the last, so that a cut or reordered message does not open. */
export const partOf = (number: number, last: boolean): string => `${number}${last ? ' last' : ''}`;

export interface Written {
  readonly size: number;
  /** Chunks in all. */
  readonly chunks: number;
  /** What is not written yet: the last chunk, sealed. */
  readonly rest: { readonly number: number; readonly data: Uint8Array };
}

/**
 * Takes octets, seals every full chunk and hands it over, in memory that is used again once that is written; the last one is
 * given back to be written with the message.
 */
export class BodyWriter {
  readonly #key: DataKey;
  readonly #maxOctets: number;
  readonly #write: (number: number, data: Uint8Array) => Promise<void>;
  /** Pieces of the first chunk; most messages have no second chunk, and few pieces. */
  #waiting: Uint8Array[] = [];
  /** Many small pieces, one after the other: each by itself costs some hundred octets beside its own. */
  #gathered: Buffer | undefined;
  /** Filled again and again from the first full chunk on, so that a long message leaves little garbage. */
  #chunk: Buffer | undefined;
  /** Where full chunks are sealed: shared, so that the thread that writes them needs no copy. */
  #sealed: Uint8Array | undefined;
  #held = 0;
  #size = 0;
  #number = 0;

  constructor(key: DataKey, maxOctets: number, write: (number: number, data: Uint8Array) => Promise<void>) {
    this.#key = key;
    this.#maxOctets = maxOctets;
    this.#write = write;
  }

  /** @throws outbox.too-large */
  async add(octets: Uint8Array): Promise<void> {
    this.#size += octets.length;
    if (this.#size > this.#maxOctets) throw tooLarge(this.#maxOctets);
    if (this.#chunk === undefined && this.#held + octets.length <= CHUNK_OCTETS) {
      if (this.#gathered === undefined && this.#waiting.length < MAX_PIECES) this.#waiting.push(octets);
      else this.#gather(this.#held + octets.length).set(octets, this.#held);
      this.#held += octets.length;
      return;
    }
    const chunk = (this.#chunk ??= this.#gather(CHUNK_OCTETS));
    for (let from = 0; from < octets.length;) {
      if (this.#held === CHUNK_OCTETS) {
        this.#sealed ??= new Uint8Array(new SharedArrayBuffer(CHUNK_OCTETS + SEAL));
        await this.#write(this.#number, this.#key.seal(partOf(this.#number, false), chunk, this.#sealed));
        this.#number += 1;
        if (this.#number % CHUNKS_A_SWEEP === 0) collectYoung();
        this.#held = 0;
      }
      const piece = octets.subarray(from, from + CHUNK_OCTETS - this.#held);
      chunk.set(piece, this.#held);
      this.#held += piece.length;
      from += piece.length;
    }
  }

  /** Octets of memory that wait to be written, and in how many pieces. */
  get held(): { readonly octets: number; readonly pieces: number } {
    const one = this.#chunk ?? this.#gathered;
    return one
      ? { octets: one.length, pieces: 1 }
      : { octets: this.#waiting.reduce((sum, { byteLength }) => sum + byteLength, 0), pieces: this.#waiting.length };
  }

  end(): Written {
    const number = this.#number;
    const all = this.#chunk ?? this.#gathered;
    const plain = all?.subarray(0, this.#held) ?? Buffer.concat(this.#waiting);
    const data = this.#key.seal(partOf(number, true), plain);
    return { size: this.#size, chunks: number + 1, rest: { number, data } };
  }

  /** What is held in one place with room for so much; it doubles, so that octets that come one by one are not copied with each. */
  #gather(room: number): Buffer {
    const before = this.#gathered;
    if (before && before.length >= room) return before;
    const size = Math.min(CHUNK_OCTETS, Math.max(room, 2 * (before?.length ?? 0), SMALLEST));
    const larger = Buffer.allocUnsafeSlow(size);
    let at = 0;
    for (const piece of before ? [before.subarray(0, this.#held)] : this.#waiting) {
      larger.set(piece, at);
      at += piece.length;
    }
    this.#waiting = [];
    this.#gathered = larger;
    return larger;
  }
}

/** The octets again, chunk by chunk. @throws vault.damaged, store.unavailable */
export async function* readBody(
  vault: Vault,
  table: Pick<OutboxTable, 'chunk'>,
  message: Pick<OutboxMessage, 'id' | 'bodyId' | 'key' | 'chunks'>,
): AsyncGenerator<Uint8Array> {
  const key = await vault.openDataKey(recordOf(message.bodyId), message.key);
  for (let number = 0; number < message.chunks; number++) {
    const data = await table.chunk(message.bodyId, number);
    if (!data) throw outboxError('outbox.not-found', `the octets of message ${message.id} are gone`);
    yield key.open(partOf(number, number === message.chunks - 1), data);
  }
}

export function tooLarge(maxOctets: number): Error {
  return outboxError('outbox.too-large', `the message is larger than ${Math.floor(maxOctets / 1_000_000)} MB`, {
    detail: { maxOctets },
  });
}
