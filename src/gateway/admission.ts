/** How many connections are open, in all and from one address, and whether one more may come in. */
import ipaddr from 'ipaddr.js';

export type LimitReached = 'connections' | 'connections-per-address';

export class Admission {
  readonly #most: number;
  readonly #mostPerAddress: number;
  readonly #byAddress = new Map<string, number>();
  #open = 0;

  constructor(limits: { readonly maxConnections: number; readonly maxConnectionsPerAddress: number }) {
    this.#most = limits.maxConnections;
    this.#mostPerAddress = limits.maxConnectionsPerAddress;
  }

  get open(): number {
    return this.#open;
  }

  /** Takes a place for `address`, to be given back with {@link release}, or says which limit is reached. */
  admit(address: string): 'admitted' | LimitReached {
    if (this.#open >= this.#most) return 'connections';
    const key = neighbourhood(address);
    const before = this.#byAddress.get(key) ?? 0;
    if (before >= this.#mostPerAddress) return 'connections-per-address';
    this.#byAddress.set(key, before + 1);
    this.#open += 1;
    return 'admitted';
  }

  release(address: string): void {
    const key = neighbourhood(address);
    const left = (this.#byAddress.get(key) ?? 1) - 1;
    if (left > 0) this.#byAddress.set(key, left);
    else this.#byAddress.delete(key);
    this.#open -= 1;
  }
}

/** The client's address as people write it: an IPv4 address that came in over IPv6 as IPv4. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return 'unknown';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

/** One IPv6 customer owns at least a /64 and could come from a new address each time. */
function neighbourhood(address: string): string {
  if (!address.includes(':') || !ipaddr.IPv6.isValid(address)) return address;
  return ipaddr.IPv6.parse(address).parts.slice(0, 4).join(':');
}
