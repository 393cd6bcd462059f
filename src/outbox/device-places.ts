/** Places of devices at their port: how many one client may have, and who makes room. */
import type { Socket } from 'node:net';
import { clientOf } from '../base/client-of.ts';

/** One that does not come to an end leaves room for the others; in IPv6 all of a /64 are one, as whoever is there takes any address of it. */
const MAX_OF_ONE_CLIENT = 20;

/** Who has a place. */
export interface Holder {
  /** A message is under way. */
  readonly busy: boolean;
  /** Ends it, for another one that waits. */
  makeRoom(): void;
}

interface Place {
  readonly client: string;
  readonly address: string;
  readonly holder: Holder;
}

export class DevicePlaces {
  /** In the order they came. */
  readonly #places = new Map<Socket, Place>();
  readonly #atMost: number;

  constructor(atMost: number) {
    this.#atMost = atMost;
  }

  /** @returns false when there is no place, or none for this client */
  take(socket: Socket, address: string, holder: Holder): boolean {
    const client = clientOf(address);
    const own = [...this.#places].filter(([, place]) => place.client === client);
    if (own.length >= MAX_OF_ONE_CLIENT ? !this.#makeRoom(own, address) : this.#places.size >= this.#atMost)
      return false;
    this.#places.set(socket, { client, address, holder });
    socket.once('close', () => this.#places.delete(socket));
    return true;
  }

  /**
   * An office is one /64, and one device in it that says nothing must not keep the others out: of the address with the most
   * places, the oldest without a message goes. None goes for an address that has as many itself.
   */
  #makeRoom(own: readonly [Socket, Place][], address: string): boolean {
    const counts = new Map<string, number>();
    for (const [, place] of own) counts.set(place.address, (counts.get(place.address) ?? 0) + 1);
    const most = Math.max(...counts.values());
    if (most <= (counts.get(address) ?? 0)) return false;
    const found = own.find(([, place]) => counts.get(place.address) === most && !place.holder.busy);
    if (found === undefined) return false;
    this.#places.delete(found[0]);
    found[1].holder.makeRoom();
    return true;
  }
}
