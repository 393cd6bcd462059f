/** Bytes both ways between a signed-in client and its provider, untouched, with back-pressure. Nothing is parsed here. */
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';

export interface RelayEnd {
  readonly bytesToClient: number;
  readonly bytesToServer: number;
  readonly reason: 'client-closed' | 'server-closed' | 'error' | 'idle' | 'cut';
}

export interface RelayOptions {
  /** Milliseconds without a byte in either direction after which both sides are closed. */
  readonly idleMs: number;
  /** The client's last line when that happens, where the protocol has one. */
  readonly idleGoodbye?: string;
  readonly clock: Clock;
  onEnd(end: RelayEnd): void;
}

/** One side of a relay: a socket without listeners, and bytes already read from it. */
export interface RelaySide {
  readonly socket: Socket;
  readonly rest: Buffer;
}

/** Starts passing bytes. `cut` ends it from outside, with a last line for the client where the protocol has one. */
export function relay(client: RelaySide, upstream: RelaySide, options: RelayOptions): { cut(goodbye?: string): void } {
  const session = new Relay(client.socket, upstream.socket, options);
  if (upstream.rest.length > 0) session.pass(upstream.socket, upstream.rest);
  if (client.rest.length > 0) session.pass(client.socket, client.rest);
  // What happened to a socket between its last reader and this relay is not told again.
  for (const { socket } of [client, upstream]) {
    if (socket.destroyed) session.closed(socket, socket.errored !== null);
    else if (socket.readableEnded) session.ended(socket);
    else socket.resume();
  }
  return session;
}

/** Sockets carry their relay in a property, so that all sessions share the same five listener functions. */
const RELAY = Symbol('relay');
type Wired = Socket & { [RELAY]?: Relay };

/**
 * Chunks from here on are taken as part of a bulk transfer and leave together at the end of the event loop's turn: a TLS
 * socket hands out one record (16 KiB) at a time, and writing four at once costs a fifth less CPU. Smaller ones leave at once.
 */
const BULK_OCTETS = 8 * 1024;

/** Octets that may wait for a slow receiver before its sender is no longer read. */
const WAITING_OCTETS = 256 * 1024;

/** Goodbyes and last bytes are given this long to leave before the socket is dropped. */
const LINGER_MS = 5_000;

class Relay {
  readonly #client: Wired;
  readonly #server: Wired;
  readonly #options: RelayOptions;
  #toClient = 0;
  #toServer = 0;
  #seen = 0;
  #idle: Timer;
  #over = false;

  constructor(client: Wired, server: Wired, options: RelayOptions) {
    this.#client = client;
    this.#server = server;
    this.#options = options;
    this.#idle = options.clock.after(options.idleMs, this.#checkIdle);
    for (const socket of [client, server]) {
      socket[RELAY] = this;
      socket.on('data', onData);
      socket.on('drain', onDrain);
      socket.on('end', onEnd);
      socket.on('error', onError);
      socket.on('close', onClose);
    }
  }

  cut(goodbye?: string): void {
    if (this.#over) return;
    if (goodbye !== undefined && this.#client.writable) this.#client.write(goodbye);
    this.#finish('cut');
  }

  pass(from: Wired, bytes: Buffer): void {
    const to = from === this.#client ? this.#server : this.#client;
    if (from === this.#client) this.#toServer += bytes.length;
    else this.#toClient += bytes.length;
    if (!to.writable) return;
    if (bytes.length >= BULK_OCTETS && to.writableCorked === 0) {
      to.cork();
      setImmediate(uncork, to);
    }
    // Above the socket's own high-water mark `drain` is certain to follow, so a pause is always lifted.
    if (!to.write(bytes) && to.writableLength > WAITING_OCTETS) from.pause();
  }

  drained(side: Wired): void {
    (side === this.#client ? this.#server : this.#client).resume();
  }

  /** One side has said all it had to say: pass that on, and keep the other direction open (half-close). */
  ended(side: Wired): void {
    const other = side === this.#client ? this.#server : this.#client;
    if (other.writable) other.end();
  }

  closed(side: Wired, error: boolean): void {
    this.#finish(error ? 'error' : side === this.#client ? 'client-closed' : 'server-closed');
  }

  /** The timer is not moved on every byte: it wakes once per idle period and looks whether anything went through. */
  readonly #checkIdle = (): void => {
    const total = this.#toClient + this.#toServer;
    if (total === this.#seen) {
      if (this.#options.idleGoodbye !== undefined && this.#client.writable)
        this.#client.write(this.#options.idleGoodbye);
      return this.#finish('idle');
    }
    this.#seen = total;
    this.#idle = this.#options.clock.after(this.#options.idleMs, this.#checkIdle);
  };

  #finish(reason: RelayEnd['reason']): void {
    if (this.#over) return;
    this.#over = true;
    this.#idle.cancel();
    for (const socket of [this.#client, this.#server]) {
      if (socket.destroyed) continue;
      const drop = this.#options.clock.after(LINGER_MS, () => socket.destroy());
      socket.once('close', () => drop.cancel());
      socket.end();
      socket.resume();
    }
    this.#options.onEnd({ bytesToClient: this.#toClient, bytesToServer: this.#toServer, reason });
  }
}

function uncork(socket: Socket): void {
  socket.uncork();
}
function onData(this: Wired, bytes: Buffer): void {
  this[RELAY]?.pass(this, bytes);
}
function onDrain(this: Wired): void {
  this[RELAY]?.drained(this);
}
function onEnd(this: Wired): void {
  this[RELAY]?.ended(this);
}
function onError(this: Wired): void {
  this[RELAY]?.closed(this, true);
}
function onClose(this: Wired): void {
  this[RELAY]?.closed(this, false);
}
