/** How many sign-ins of owners may be under way: a few for each mailbox, so that one link opened again and again blocks no other. */
import { oauthError } from '../oauth/errors.ts';

const MAX_SIGN_INS = 100;
/** A person with two browsers, and one to spare. */
const MAX_OF_ONE_MAILBOX = 3;

export class ConsentPlaces {
  /** By mailbox, the first begun first. */
  readonly #begun = new Map<string, Set<AbortController>>();

  /** Begins a sign-in, which ends with its controller; the first of a mailbox that has several gives way. Undefined: too many. */
  begin(address: string): AbortController | undefined {
    const own = this.#begun.get(address) ?? new Set();
    const [first] = own;
    if (first !== undefined && own.size >= MAX_OF_ONE_MAILBOX) {
      own.delete(first);
      first.abort(oauthError('oauth.consent-expired', 'the link was opened again, and this sign-in given up for that'));
    } else if ([...this.#begun.values()].reduce((sum, { size }) => sum + size, 0) >= MAX_SIGN_INS) return undefined;
    const begun = new AbortController();
    this.#begun.set(address, own.add(begun));
    return begun;
  }

  end(address: string, begun: AbortController): void {
    const own = this.#begun.get(address);
    own?.delete(begun);
    if (own?.size === 0) this.#begun.delete(address);
  }
}
