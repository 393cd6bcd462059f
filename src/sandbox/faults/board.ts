/** Which faults are set now, and whether one bites here and now. */
import { randomUUID } from 'node:crypto';
import { sandboxError } from '../errors.ts';
import { faultOfAddress } from './address.ts';
import { doorsOf, findFault, type Fault, type FaultId } from './catalogue.ts';
import type { Place } from './types.ts';

/** How a fault is to be limited. Without limits it bites everybody every time until it is cleared. */
export interface FaultLimits {
  /** How often it bites before it is gone. */
  readonly times?: number | undefined;
  /** The one door it concerns; for network faults and those that could bite at several. */
  readonly protocol?: Place | undefined;
  /** The one mailbox (address) it concerns; where mail is sent, also as sender or recipient. */
  readonly mailbox?: string | undefined;
  /** Between 0 and 1; 1 unless given. */
  readonly probability?: number | undefined;
  /** The number the fault takes, in the unit that its row names. */
  readonly value?: number | undefined;
}

export interface ActiveFault extends FaultLimits {
  readonly key: string;
  readonly fault: FaultId;
  /** How often it has bitten. */
  readonly hits: number;
}

/** Where somebody is when a fault may bite. */
export interface Spot {
  readonly place: Place;
  /** Every address concerned: the mailbox, and where mail goes also sender and recipients. */
  readonly addresses?: readonly string[];
}

export interface Bite {
  readonly fault: Fault;
  /** As ordered, else the fault's own. */
  readonly value: number;
}

export class FaultBoard {
  #active: (ActiveFault & { hits: number })[] = [];
  readonly #observers = new Set<() => void>();
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  get active(): readonly ActiveFault[] {
    return this.#active.map((each) => ({ ...each }));
  }

  /** @throws sandbox.no-such-fault, sandbox.fault-limits */
  set(id: string, limits: FaultLimits = {}): ActiveFault {
    const fault = findFault(id);
    if (!fault) throw sandboxError('sandbox.no-such-fault', `there is no fault ${id}`, { detail: { fault: id } });
    check(fault, limits);
    const given = Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined));
    const active = { ...(given as FaultLimits), fault: fault.id, key: randomUUID().slice(0, 8), hits: 0 };
    this.#active.push(active);
    this.#tell();
    if (fault.momentary === true) this.#active = this.#active.filter((each) => each !== active);
    return { ...active };
  }

  /** Clears one fault by its id or by the key of one order, or all of them. Gives how many were set. */
  clear(which?: string): number {
    const kept = which === undefined ? [] : this.#active.filter(({ key, fault }) => key !== which && fault !== which);
    const gone = this.#active.length - kept.length;
    if (which !== undefined && gone === 0 && !findFault(which))
      throw sandboxError('sandbox.no-such-fault', `there is no fault ${which}, and none is set with this key`, {
        detail: { fault: which },
      });
    this.#active = kept;
    if (gone > 0) this.#tell();
    return gone;
  }

  /** Takes one bite of the fault if it bites here: it counts, and a fault that was ordered n times is gone after n. */
  bite(id: FaultId, spot: Spot): Bite | undefined {
    const found = this.#find(id, spot);
    if (!found || found === 'address') return found && biteOf(id, this.#valueOfAddress(id, spot));
    if ((found.probability ?? 1) <= this.#random()) return undefined;
    found.hits += 1;
    if (found.times !== undefined && found.hits >= found.times) {
      this.#active = this.#active.filter((each) => each !== found);
      // Observers ask whether something is set now; telling them in the middle of a bite would ask them again at once.
      queueMicrotask(() => this.#tell());
    }
    return biteOf(id, found.value);
  }

  /** Whether the fault is set for this spot, without counting. */
  has(id: FaultId, spot: Spot): boolean {
    return this.#find(id, spot) !== undefined;
  }

  /** Calls back after every change. */
  observe(observer: () => void): () => void {
    this.#observers.add(observer);
    return () => void this.#observers.delete(observer);
  }

  #find(id: FaultId, { place, addresses = [] }: Spot): (ActiveFault & { hits: number }) | 'address' | undefined {
    if (addresses.some((address) => faultOfAddress(address)?.fault === id)) return 'address';
    return this.#active.find(
      (each) =>
        each.fault === id &&
        (each.protocol === undefined || each.protocol === place) &&
        (each.mailbox === undefined || addresses.some((address) => same(address, each.mailbox!))),
    );
  }

  #valueOfAddress(id: FaultId, { addresses = [] }: Spot): number | undefined {
    return addresses.map((address) => faultOfAddress(address)).find((found) => found?.fault === id)?.value;
  }

  #tell(): void {
    for (const observer of this.#observers) observer();
  }
}

function biteOf(id: FaultId, value: number | undefined): Bite {
  const fault = findFault(id)!;
  return { fault, value: value ?? fault.value?.default ?? 0 };
}

const same = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

function check(fault: Fault, { times, protocol, mailbox, probability, value }: FaultLimits): void {
  const wrong = (what: string): never => {
    throw sandboxError('sandbox.fault-limits', what, { detail: { fault: fault.id } });
  };
  if (times !== undefined && (!Number.isInteger(times) || times < 1)) wrong('times is a whole number of at least 1');
  if (probability !== undefined && !(probability >= 0 && probability <= 1)) wrong('probability is between 0 and 1');
  if (protocol !== undefined && !doorsOf(fault).includes(protocol))
    wrong(`${fault.id} does not bite at ${protocol}, only at ${doorsOf(fault).join(', ')}`);
  if (mailbox !== undefined && !/^[^\s@]+@[^\s@]+$/.test(mailbox)) wrong('mailbox is an address');
  if (mailbox !== undefined && fault.byAddress === false && fault.momentary !== true)
    wrong(`at the moment ${fault.id} bites no mailbox is known`);
  if (value === undefined) return;
  if (fault.value === undefined) wrong(`${fault.id} takes no value`);
  if (!(value >= 0 && value <= 1e9)) wrong('value is a number of at least 0');
}
