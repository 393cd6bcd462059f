/**
 * Who may be connected to the console port. A connection on which no request is being answered makes room for a new one, the one that has
 * waited longest first; requests being answered keep theirs. Beyond all places a few are kept for `/healthz` and `/readyz`, so
 * that whoever fills the port does not silence what a supervisor asks.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface HttpLimits {
  /** Connections on which requests are being answered or waited for. */
  readonly connections: number;
  /** Of these, connections from one address on which nothing is being answered. */
  readonly waitingPerAddress: number;
  /** Further ones, for questions about health only. */
  readonly reserve: number;
}

/** An event stream or long poll holds one each; a connection costs some 30 KiB, with TLS 100. */
export const HTTP_LIMITS: HttpLimits = { connections: 1000, waitingPerAddress: 250, reserve: 50 };

interface Place {
  readonly key: string;
  readonly socket: Socket;
  readonly address: string;
  /** Requests being answered. */
  busy: number;
  /** Beyond all places: health only. */
  readonly reserved: boolean;
}

export class HttpPlaces {
  readonly #limits: HttpLimits;
  /** By remote address and port, which a TLS socket has from the one below it. */
  readonly #places = new Map<string, Place>();
  /** Those that nothing is answered on, the longest first. */
  readonly #waiting = new Set<Place>();
  readonly #waitingByAddress = new Map<string, Set<Place>>();

  constructor(server: Server, limits: HttpLimits = HTTP_LIMITS) {
    this.#limits = limits;
    server.on('connection', (socket: Socket) => this.#came(socket));
  }

  /** Takes note of a request. False: its connection is one of the reserve, which is for questions about health. */
  begin(request: IncomingMessage, response: ServerResponse): boolean {
    const place = this.#places.get(keyOf(request.socket));
    if (place === undefined) return true; // gone already
    place.busy += 1;
    this.#wait(place, false);
    response.once('close', () => {
      place.busy -= 1;
      if (place.busy === 0 && this.#places.get(place.key) === place) this.#wait(place, true);
    });
    return !place.reserved;
  }

  #came(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const own = this.#waitingByAddress.get(address);
    if (own !== undefined && own.size >= this.#limits.waitingPerAddress) this.#drop(own);
    if (this.#places.size >= this.#limits.connections) this.#drop(this.#waiting);
    const { connections, reserve } = this.#limits;
    if (this.#places.size >= connections + reserve) {
      socket.destroy();
      return;
    }
    const key = keyOf(socket);
    const place: Place = { key, socket, address, busy: 0, reserved: this.#places.size >= connections };
    this.#places.set(key, place);
    this.#wait(place, true);
    socket.once('close', () => this.#gone(place));
  }

  #drop(places: ReadonlySet<Place>): void {
    const [oldest] = places;
    if (oldest === undefined) return;
    this.#gone(oldest);
    oldest.socket.destroy();
  }

  #gone(place: Place): void {
    if (this.#places.get(place.key) === place) this.#places.delete(place.key);
    this.#wait(place, false);
  }

  #wait(place: Place, waits: boolean): void {
    const own = this.#waitingByAddress.get(place.address) ?? new Set();
    if (waits) {
      this.#waiting.add(place);
      this.#waitingByAddress.set(place.address, own.add(place));
    } else {
      this.#waiting.delete(place);
      own.delete(place);
      if (own.size === 0) this.#waitingByAddress.delete(place.address);
    }
  }
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
