/**
 * Who may be connected to the console port. A connection that waits for its client makes room for a new one, the one that has waited
 * longest first: the client has asked nothing yet, or has its answer and does not read it. Requests that we work on keep theirs.
 * Beyond all places a few are kept for `/healthz` and `/readyz`, so that whoever fills the port does not silence what a supervisor
 * asks. An answer that is not read ends after a while in any case, and what is held of it counts in the budget of the process.
 */
import { clientOf } from '../base/client-of.ts';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Clock, systemClock, type Timer } from '../base/clock.ts';
import type { Account, Budget } from '../protocol/wire/budget.ts';

export interface HttpLimits {
  /** Connections on which requests are being answered or waited for. */
  readonly connections: number;
  /** Of these, connections from one address that wait for their client. */
  readonly waitingPerAddress: number;
  /** Further ones, for questions about health only. */
  readonly reserve: number;
}

/** An event stream or long poll holds one each; a connection costs some 30 KiB, with TLS 100. */
export const HTTP_LIMITS: HttpLimits = { connections: 1000, waitingPerAddress: 250, reserve: 50 };

/** An answer may take this long, and a millisecond more for each octet: 1 KB a second is slower than any line in use. */
const GRACE_MS = 30_000;
const MS_PER_OCTET = 1;
/** However large it is. */
const MAX_MS = 15 * 60_000;
const LOOK_MS = 5000;
/** Octets of shared answers that may wait unread: TLS makes a copy for each connection. */
const MAX_SHARED_OCTETS = 16 * 1024 * 1024;

interface Place {
  readonly key: string;
  readonly socket: Socket;
  readonly address: string;
  /** Requests being answered. */
  busy: number;
  /** Beyond all places: health only. */
  readonly reserved: boolean;
  /** Where answers are written: with TLS not the socket below it. */
  writer: Socket;
  /** What is held of an answer that is not read. */
  account?: Account | undefined;
  /** Since when octets have waited without a break, and how many had gone out before. */
  unread?: { readonly since: number; readonly gone: number } | undefined;
}

export interface HttpPlacesOptions {
  readonly limits?: HttpLimits | undefined;
  readonly budget?: Pick<Budget, 'account'> | undefined;
  readonly clock?: Clock | undefined;
}

export class HttpPlaces {
  readonly #limits: HttpLimits;
  readonly #budget: Pick<Budget, 'account'> | undefined;
  readonly #clock: Clock;
  /** By both addresses and ports, which a TLS socket has from the one below it: one remote port may reach several of ours. */
  readonly #places = new Map<string, Place>();
  /** Those that wait for their client, the longest first. */
  readonly #waiting = new Set<Place>();
  readonly #waitingByAddress = new Map<string, Set<Place>>();
  /** Octets of shared answers that are not read, the longest first. */
  readonly #shared = new Map<Place, number>();
  #timer: Timer | undefined;

  constructor(server: Server, { limits = HTTP_LIMITS, budget, clock = systemClock }: HttpPlacesOptions = {}) {
    this.#limits = limits;
    this.#budget = budget;
    this.#clock = clock;
    server.on('connection', (socket: Socket) => this.#came(socket));
  }

  /** Takes note of a request. False: its connection is one of the reserve, which is for questions about health. */
  begin(request: IncomingMessage, response: ServerResponse): boolean {
    const place = this.#places.get(keyOf(request.socket));
    if (place === undefined) return true; // gone already
    place.busy += 1;
    place.writer = request.socket;
    this.#wait(place, false);
    response.once('close', () => {
      place.busy -= 1;
      this.#settle(place);
      if (place.busy > 0 || this.#places.get(place.key) !== place) return;
      // It may have waited with its answer unread: from here it waits for a question.
      this.#wait(place, false);
      this.#wait(place, true);
    });
    return !place.reserved;
  }

  /**
   * All of an answer is written: what has not gone out waits for the client.
   * @param shared its octets are held once, for everybody who asks for them
   */
  answered({ socket }: IncomingMessage, response: ServerResponse, shared: boolean): void {
    const place = this.#places.get(keyOf(socket));
    if (place === undefined || !response.writableEnded || response.writableFinished || response.destroyed) return;
    this.#wait(place, true);
    const octets = socket.writableLength;
    if (octets === 0) return;
    if (!shared) {
      place.account ??= this.#budget?.account(place.address);
      // What is large is an answer to a key.
      place.account?.signedIn();
      place.account?.stands(octets, () => socket.destroy());
      return;
    }
    this.#shared.set(place, octets);
    let sum = [...this.#shared.values()].reduce((all, one) => all + one, 0);
    for (const [other, held] of this.#shared) {
      if (sum <= MAX_SHARED_OCTETS || other === place) break;
      sum -= held;
      this.#gone(other);
      other.socket.destroy();
    }
  }

  /** Nothing of its answer is held any more. */
  #settle(place: Place): void {
    place.account?.close();
    place.account = undefined;
    this.#shared.delete(place);
  }

  /** Looks no longer. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #came(socket: Socket): void {
    const address = clientOf(socket.remoteAddress ?? '');
    const own = this.#waitingByAddress.get(address);
    if (own !== undefined && own.size >= this.#limits.waitingPerAddress) this.#drop(own);
    if (this.#places.size >= this.#limits.connections) this.#drop(this.#waiting);
    const { connections, reserve } = this.#limits;
    if (this.#places.size >= connections + reserve) {
      socket.destroy();
      return;
    }
    const key = keyOf(socket);
    const reserved = this.#places.size >= connections;
    const place: Place = { key, socket, address, busy: 0, reserved, writer: socket };
    this.#places.set(key, place);
    this.#wait(place, true);
    this.#timer ??= this.#clock.after(LOOK_MS, this.#look);
    socket.once('close', () => this.#gone(place));
  }

  /** Ends answers that are not read. */
  readonly #look = (): void => {
    this.#timer = this.#places.size === 0 ? undefined : this.#clock.after(LOOK_MS, this.#look);
    const now = this.#clock.now();
    for (const place of this.#places.values()) {
      const { writer } = place;
      if (writer.writableLength === 0) {
        place.unread = undefined;
        continue;
      }
      place.unread ??= { since: now, gone: writer.bytesWritten - writer.writableLength };
      const octets = writer.bytesWritten - place.unread.gone;
      if (now - place.unread.since >= Math.min(GRACE_MS + octets * MS_PER_OCTET, MAX_MS)) writer.destroy();
    }
  };

  #drop(places: ReadonlySet<Place>): void {
    const [oldest] = places;
    if (oldest === undefined) return;
    this.#gone(oldest);
    oldest.socket.destroy();
  }

  #gone(place: Place): void {
    if (this.#places.get(place.key) === place) this.#places.delete(place.key);
    this.#wait(place, false);
    this.#settle(place);
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

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
