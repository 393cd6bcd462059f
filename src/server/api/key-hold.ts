/** A key for as long as a request takes: what is handed over with it counts only if it is good when the last octet has come. */
import type { ApiSignIn } from '../../access/api-sign-in.ts';
import { Pieces } from '../../base/pieces.ts';
import type { ApiKey } from '../../store/types-api.ts';
import { apiError } from './errors.ts';

export class KeyHold {
  readonly #key: ApiKey;
  readonly #signIn: ApiSignIn;
  readonly #watch: { stop(): void };
  readonly #ended: Promise<never>;

  constructor(signIn: ApiSignIn, key: ApiKey) {
    this.#signIn = signIn;
    this.#key = key;
    const { promise, reject } = Promise.withResolvers<never>();
    this.#ended = promise;
    // Heard of by whoever waits for it; a request that waits for nothing asks once more before it acts.
    promise.catch((error: unknown) => error);
    this.#watch = signIn.onEnd(key, () => reject(ended()));
  }

  /** A body as it arrives; its end comes only while the key is good. @throws api.key, what `source` throws */
  octets(source: AsyncIterable<Uint8Array>): Pieces {
    const pieces = source[Symbol.asyncIterator]();
    return new Pieces(async () => {
      const { value, done } = await Promise.race([pieces.next(), this.#ended]);
      if (done !== true) return Buffer.from(value.buffer, value.byteOffset, value.length);
      await this.confirm();
      return undefined;
    });
  }

  /** @throws api.key, store.unavailable */
  async confirm(): Promise<void> {
    if ((await this.#signIn.current(this.#key.id)) === undefined) throw ended();
  }

  release(): void {
    this.#watch.stop();
  }
}

function ended(): Error {
  return apiError('api.key', 'the key was revoked or has ended');
}
