/**
 * How many connections are open: in all, from one address, and before sign-in from one address for one protocol. Whoever
 * has signed in keeps their place. Among those who have not, the one that has waited longest makes room for the next: a crowd of silent
 * connections takes nobody's place, while whoever signs in promptly always gets in.
 */
import { clientOf } from '../base/client-of.ts';
import type { Protocol } from '../store/protocols.ts';

export type LimitReached = 'connections' | 'connections-per-address';

export interface AdmissionLimits {
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  readonly maxWaitingPerAddress: number;
}

interface Neighbour {
  open: number;
  /** Oldest first. */
  readonly waiting: Set<Place>;
  readonly byProtocol: Map<Protocol, Set<Place>>;
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #neighbours = new Map<string, Neighbour>();
  open = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /**
   * Takes a place, or says which limit is reached.
   * @param leave called when another one takes the place, before sign-in only: the connection is to be closed
   */
  admit(address: string, protocol: Protocol, leave: () => void): Place | LimitReached {
    const key = clientOf(address);
    const neighbour = this.#neighbours.get(key) ?? { open: 0, waiting: new Set(), byProtocol: new Map() };
    const group = neighbour.byProtocol.get(protocol) ?? new Set();
    neighbour.byProtocol.set(protocol, group);
    if (group.size >= this.#limits.maxWaitingPerAddress) first(group)?.makeRoom();
    if (neighbour.open >= this.#limits.maxConnectionsPerAddress) {
      const oldest = first(neighbour.waiting);
      if (oldest === undefined) return 'connections-per-address';
      oldest.makeRoom();
    }
    if (this.open >= this.#limits.maxConnections) {
      const oldest = first(this.#mostWaiting);
      if (oldest === undefined) return 'connections';
      oldest.makeRoom();
    }
    this.#neighbours.set(key, neighbour);
    neighbour.open += 1;
    this.open += 1;
    const sets = [neighbour.waiting, group] as const;
    return new Place(sets, leave, () => {
      this.open -= 1;
      neighbour.open -= 1;
      if (neighbour.open === 0) this.#neighbours.delete(key);
    });
  }

  /** Those who wait from the address that has most of them. */
  get #mostWaiting(): ReadonlySet<Place> {
    let most: ReadonlySet<Place> = new Set();
    for (const { waiting } of this.#neighbours.values()) if (waiting.size > most.size) most = waiting;
    return most;
  }
}

/** One open connection's place. */
export class Place {
  readonly #sets: readonly Set<Place>[];
  readonly #leave: () => void;
  readonly #given: () => void;
  #over = false;

  constructor(sets: readonly Set<Place>[], leave: () => void, given: () => void) {
    this.#sets = sets;
    this.#leave = leave;
    this.#given = given;
    this.wait();
  }

  /** It is being served, or signed in: it makes room for nobody. `wait` takes that back. */
  hold(): void {
    for (const set of this.#sets) set.delete(this);
  }

  /** It is waited for again: what it sends next is its own affair. */
  wait(): void {
    if (!this.#over) for (const set of this.#sets) set.add(this);
  }

  /** The connection is closed. */
  release(): void {
    if (this.#over) return;
    this.#over = true;
    this.hold();
    this.#given();
  }

  makeRoom(): void {
    this.release();
    this.#leave();
  }
}

function first(places: ReadonlySet<Place>): Place | undefined {
  return places.values().next().value;
}
/** The client's address as people write it: an IPv4 address that came in over IPv6 as IPv4. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return 'unknown';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
