/** What a relay's tap holds for its client, as the budget counts it. */
import { type Account, FREE_OCTETS } from '../protocol/wire/budget.ts';

export class Holding {
  readonly #account: Account | undefined;
  /** Octets that count: beyond what each connection may hold. */
  octets = 0;
  /** They grew while memory is short: the client is not read until there is room. */
  crowded = false;

  constructor(account: Account | undefined) {
    this.#account = account;
  }

  /** @returns whether what counts has changed */
  set(octets: number): boolean {
    if (this.#account === undefined || octets === this.octets || (octets <= FREE_OCTETS && this.octets === 0))
      return false;
    this.octets = octets > FREE_OCTETS ? octets : 0;
    return true;
  }

  /** @param goOn when there is room again @returns whether the client has to wait from now on */
  waits(goOn: () => void): boolean {
    if (this.crowded || this.#account?.over !== true) return false;
    this.crowded = true;
    this.#account.whenRoom(() => {
      this.crowded = false;
      goOn();
    });
    return true;
  }
}
