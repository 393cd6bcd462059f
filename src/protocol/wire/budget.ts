/**
 * One budget for the octets that a process holds for its peers, without I/O: what was received and not taken, what is kept of a
 * command that is not whole, what waits for somebody who does not read. Each connection has a small part of its own, enough for an
 * ordinary sign-in, so that whoever uses up the budget locks nobody out; what is beyond it counts here. The order when it is used up:
 * reading pauses, then what asks for more is refused in its protocol's words, then those leave that stand still.
 */
import { clientOf } from '../../base/client-of.ts';
import { type Clock, systemClock, type Timer } from '../../base/clock.ts';

/** Of each connection, uncounted here: a line of AUTH with a token is shorter, as is a command of a session that is signed in. */
export const FREE_OCTETS = 4 * 1024;
/** Half of a default container's memory is for sessions at rest; this is an eighth of it. */
const OCTETS = 64 * 1024 * 1024;
/** Milliseconds without any progress before a peer counts as standing still: a slow line moves its 128 KiB within that time. */
const STANDSTILL_MS = 30_000;

export interface BudgetOptions {
  /** Most octets held for all peers. Half of it may be held before sign-in, an eighth for one address. */
  readonly octets?: number;
  readonly clock?: Clock;
}

interface Standing {
  readonly since: number;
  leave(): void;
}

export class Budget {
  readonly octets: number;
  readonly #clock: Clock;
  readonly #byAddress = new Map<string, number>();
  #held = 0;
  #heldBefore = 0;
  #waking = false;
  /** Accounts whose peer does not read, the longest first. */
  readonly #standing = new Map<Account, Standing>();
  #look: Timer | undefined;
  /** Who goes on when there is room again, in the order in which they stopped. */
  readonly #waiting = new Map<Account, () => void>();

  constructor({ octets = OCTETS, clock = systemClock }: BudgetOptions = {}) {
    this.octets = octets;
    this.#clock = clock;
  }

  /** Octets held now beyond what each connection may hold anyway. */
  get held(): number {
    return this.#held;
  }

  /** @param address whose share it counts against until its peer has signed in */
  account(address: string): Account {
    return new Account(this, clientOf(address));
  }

  /** Takes octets for work that is known beforehand, such as a request body; false when there is no room. Give them back with `give`. */
  take(octets: number): boolean {
    if (this.#held + octets > this.octets) return false;
    this.#held += octets;
    return true;
  }

  give(octets: number): void {
    this.changed(-octets, undefined);
  }

  /** For accounts. */
  changed(by: number, address: string | undefined): void {
    this.#held += by;
    if (address !== undefined) {
      this.#heldBefore += by;
      const held = (this.#byAddress.get(address) ?? 0) + by;
      if (held > 0) this.#byAddress.set(address, held);
      else this.#byAddress.delete(address);
    }
    if (by > 0 && this.#held > this.octets) this.#clear();
    else if (by < 0) this.#wake();
  }

  /** Calls back once, when there is room again. */
  whenRoom(account: Account, goOn: () => void): void {
    this.#waiting.set(account, goOn);
  }

  forget(account: Account): void {
    this.#waiting.delete(account);
  }

  /** Whoever goes on may fill it again at once: then the others wait on. */
  #wake(): void {
    if (this.#waiting.size === 0 || this.#held > this.octets || this.#waking) return;
    this.#waking = true;
    setImmediate(() => {
      this.#waking = false;
      for (const [account, goOn] of this.#waiting) {
        if (this.#held > this.octets) return;
        this.#waiting.delete(account);
        goOn();
      }
    });
  }

  isOver(address: string | undefined): boolean {
    if (this.#held > this.octets) return true;
    if (address === undefined) return false;
    return this.#heldBefore > this.octets / 2 || (this.#byAddress.get(address) ?? 0) > this.octets / 8;
  }

  stands(account: Account, leave: () => void): void {
    const since = this.#standing.get(account)?.since ?? this.#clock.now();
    this.#standing.set(account, { since, leave });
  }

  goesOn(account: Account): void {
    this.#standing.delete(account);
    if (this.#standing.size > 0) return;
    this.#look?.cancel();
    this.#look = undefined;
  }

  /** Sends away who has stood still the longest, until there is room; looks again when others have for long enough. */
  #clear(): void {
    for (const [account, { since, leave }] of this.#standing) {
      if (this.#held <= this.octets) return;
      const left = since + STANDSTILL_MS - this.#clock.now();
      if (left > 0) {
        if (this.#look === undefined)
          this.#look = this.#clock.after(left, () => {
            this.#look = undefined;
            if (this.#held > this.octets) this.#clear();
          });
        return;
      }
      account.close();
      leave();
    }
  }
}

/** What one connection holds. */
export class Account {
  readonly #budget: Budget;
  #address: string | undefined;
  #counted = 0;
  #closed = false;

  constructor(budget: Budget, address: string) {
    this.#budget = budget;
    this.#address = address;
  }

  /** So many octets are held now. */
  set(octets: number): void {
    const counted = octets > FREE_OCTETS && !this.#closed ? octets - FREE_OCTETS : 0;
    if (counted === this.#counted) return;
    const by = counted - this.#counted;
    this.#counted = counted;
    this.#budget.changed(by, this.#address);
  }

  /** It holds more than its own part, and the budget is used up: in all, before sign-in, or by its address. */
  get over(): boolean {
    return this.#counted > 0 && this.#budget.isOver(this.#address);
  }

  /** The budget is used up, whoever holds it. */
  get crowded(): boolean {
    return this.#budget.isOver(this.#address);
  }

  /** Its peer has signed in: what it holds no longer counts against its address. */
  signedIn(): void {
    const counted = this.#counted;
    this.set(0);
    this.#address = undefined;
    this.set(counted === 0 ? 0 : counted + FREE_OCTETS);
  }

  /** Octets wait for a peer that does not read. `leave`: they are too many, and it is to go. */
  stands(octets: number, leave: () => void): void {
    if (this.#closed) return;
    this.#budget.stands(this, leave);
    this.set(octets);
  }

  goesOn(): void {
    this.#budget.goesOn(this);
    this.set(0);
  }

  /** Calls back once, when the budget has room again. */
  whenRoom(goOn: () => void): void {
    if (!this.#closed) this.#budget.whenRoom(this, goOn);
  }

  /**
   * Its connection is over: nothing is held any more, and nothing counts that is told of it from here on. Both sides of a session
   * end one after the other, and the one that ends later may still say that the other does not read.
   */
  close(): void {
    this.#budget.forget(this);
    this.goesOn();
    this.#closed = true;
  }
}
