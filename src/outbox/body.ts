/** Octets of messages at rest: chunks sealed one by one, so that no message has to fit into memory. */
import type { DataKey, Vault } from '../vault/types.ts';
import type { OutboxMessage, OutboxTable } from '../store/types-outbox.ts';
import { outboxError } from './errors.ts';

/** Octets of a chunk before sealing. */
export const CHUNK_OCTETS = 256 * 1024;

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

/** Takes octets, seals every full chunk and hands it over; the last one is given back to be written with the message. */
export class BodyWriter {
  readonly #key: DataKey;
  readonly #maxOctets: number;
  readonly #write: (number: number, data: Uint8Array) => Promise<void>;
  #waiting: Buffer[] = [];
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
    this.#waiting.push(Buffer.from(octets.buffer, octets.byteOffset, octets.length));
    this.#held += octets.length;
    while (this.#held > CHUNK_OCTETS) {
      const all = Buffer.concat(this.#waiting);
      await this.#write(this.#number, this.#key.seal(partOf(this.#number, false), all.subarray(0, CHUNK_OCTETS)));
      this.#number += 1;
      // A copy: the big buffer must not be kept alive by its small end.
      const left = Buffer.from(all.subarray(CHUNK_OCTETS));
      this.#waiting = [left];
      this.#held = left.length;
    }
  }

  end(): Written {
    const number = this.#number;
    const data = this.#key.seal(partOf(number, true), Buffer.concat(this.#waiting));
    return { size: this.#size, chunks: number + 1, rest: { number, data } };
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
