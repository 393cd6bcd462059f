/** A key for as long as a request takes: what is done with it counts only if the key is good at the moment it is done. */
import { type ApiSignIn, allows, opens } from '../../access/api-sign-in.ts';
import { Pieces } from '../../base/pieces.ts';
import type { ApiAction, ApiKey } from '../../store/types-api.ts';
import { apiError } from './errors.ts';

export class KeyHold {
  readonly #key: ApiKey;
  /** What the request does, and the key has to allow to the end. */
  readonly #actions: ApiAction[];
  readonly #signIn: ApiSignIn;
  readonly #watch: { stop(): void };
  readonly #ended: Promise<never>;
  #hasEnded = false;

  constructor(signIn: ApiSignIn, key: ApiKey, action: ApiAction) {
    this.#signIn = signIn;
    this.#key = key;
    this.#actions = [action];
    const { promise, reject } = Promise.withResolvers<never>();
    this.#ended = promise;
    // Heard of by whoever waits for it; a request that waits for nothing asks once more before it acts.
    promise.catch((error: unknown) => error);
    this.#watch = signIn.onEnd(key, () => {
      this.#hasEnded = true;
      reject(ended());
    });
  }

  /** The request does more than its operation says by itself. @throws api.forbidden */
  also(action: ApiAction): void {
    this.#actions.push(action);
    this.#requireAll(this.#key);
  }

  /** A body as it arrives; its end comes only while the key is good. @throws as {@link confirm}, what `source` throws */
  octets(source: AsyncIterable<Uint8Array>): Pieces {
    const pieces = source[Symbol.asyncIterator]();
    return new Pieces(async () => {
      const { value, done } = await Promise.race([pieces.next(), this.#ended]);
      if (done !== true) return Buffer.from(value.buffer, value.byteOffset, value.length);
      await this.confirm();
      return undefined;
    });
  }

  /** What is made here, for as long as the key is good: nothing is waited for, so each piece asks. @throws as {@link confirm} */
  async *made(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, mailbox?: string): AsyncGenerator<Uint8Array> {
    for await (const piece of source) {
      if (this.#hasEnded) throw ended();
      yield piece;
    }
    await this.confirm(mailbox);
  }

  /**
   * Asked right before something is done with the key; gives it as it is now. @param mailbox one that it has to open still
   * @throws api.key, api.forbidden, api.not-found, store.unavailable
   */
  async confirm(mailbox?: string): Promise<ApiKey> {
    const key = await this.#signIn.current(this.#key.id);
    if (key === undefined || this.#hasEnded) throw ended();
    this.#requireAll(key);
    if (mailbox !== undefined && !opens(key, mailbox))
      throw apiError('api.not-found', `the key ${key.id} does not open ${mailbox} any more`, { detail: { mailbox } });
    return key;
  }

  #requireAll(key: ApiKey): void {
    const lacking = this.#actions.find((action) => !allows(key, action));
    if (lacking === undefined) return;
    const since = allows(this.#key, lacking) ? ' any more' : '';
    throw apiError('api.forbidden', `the key ${key.id} does not allow ${lacking}${since}`, {
      detail: { action: lacking },
    });
  }

  release(): void {
    this.#watch.stop();
  }
}

function ended(): Error {
  return apiError('api.key', 'the key was revoked or has ended');
}
