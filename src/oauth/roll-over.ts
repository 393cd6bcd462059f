/** One engine over several credentials: what is refused with one is asked again with the next. */
import type { Clock } from '../base/clock.ts';
import { isError, type PosternError } from '../base/error.ts';
import type { CredentialFacts } from '../store/types.ts';
import type { DelegatedEngine, TokenEngine } from './engine.ts';

export interface CredentialEngine<E extends TokenEngine> {
  /** Undefined for a public client, which has no credential. */
  readonly facts: CredentialFacts | undefined;
  readonly engine: E;
}

/** Told once of each credential that the provider no longer takes although another was left to try. */
export type CredentialRefused = (facts: CredentialFacts, error: PosternError) => void;

/** Credentials in the order they are to be used; those known to be over come last, as the date may be wrong. */
export class RollOver<E extends TokenEngine> implements TokenEngine {
  readonly #entries: readonly CredentialEngine<E>[];
  readonly #clock: Clock;
  readonly #tell: CredentialRefused;
  readonly #refused = new Set<CredentialEngine<E>>();
  readonly appOnly: TokenEngine['appOnly'] = (...args) => this.attempt((engine) => engine.appOnly(...args));

  constructor(entries: readonly CredentialEngine<E>[], clock: Clock, tell: CredentialRefused) {
    this.#entries = entries;
    this.#clock = clock;
    this.#tell = tell;
  }

  async close(): Promise<void> {
    for (const { engine } of this.#entries) await engine.close();
  }

  /** @throws what the last credential was refused with, and at once whatever is not about the credential */
  protected async attempt<T>(call: (engine: E) => Promise<T>): Promise<T> {
    const order = this.#order();
    for (const [index, entry] of order.entries()) {
      try {
        return await call(entry.engine);
      } catch (error) {
        if (index === order.length - 1 || !isCredentialRefusal(error)) throw error;
        if (!this.#refused.has(entry) && entry.facts) this.#tell(entry.facts, error);
        this.#refused.add(entry);
      }
    }
    throw new TypeError('an engine needs at least one way to ask');
  }

  #order(): readonly CredentialEngine<E>[] {
    const now = this.#clock.now();
    const rank = (entry: CredentialEngine<E>): number =>
      this.#refused.has(entry) ? 2 : (entry.facts?.expiresAt ?? Infinity) <= now ? 1 : 0;
    return this.#entries.toSorted((a, b) => rank(a) - rank(b));
  }
}

export class DelegatedRollOver extends RollOver<DelegatedEngine> implements DelegatedEngine {
  readonly authorizationUrl: DelegatedEngine['authorizationUrl'] = (...args) =>
    this.attempt((engine) => engine.authorizationUrl(...args));
  readonly redeem: DelegatedEngine['redeem'] = (...args) => this.attempt((engine) => engine.redeem(...args));
  readonly device: DelegatedEngine['device'] = (...args) => this.attempt((engine) => engine.device(...args));
  readonly refresh: DelegatedEngine['refresh'] = (...args) => this.attempt((engine) => engine.refresh(...args));
  readonly revoke: DelegatedEngine['revoke'] = (...args) => this.attempt((engine) => engine.revoke(...args));
  readonly keySet: DelegatedEngine['keySet'] = () => this.attempt((engine) => engine.keySet());
}

/** RFC 6749 §5.2: client authentication failed. Codes and refresh tokens are untouched then, so asking again is safe. */
function isCredentialRefusal(error: unknown): error is PosternError {
  return isError(error) && error.detail['error'] === 'invalid_client';
}
