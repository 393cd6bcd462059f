/** How sockets call their relay: what it throws ends that session, not the process. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { copyOf, intakeOf, type Reader } from '../protocol/wire/intake.ts';
import { type Gathering, RECORD_OCTETS } from './gathering.ts';
import type { Memory } from './release.ts';

/** What the sockets of a relay call. */
export interface Served {
  pass(from: Wired, received: Buffer, memory?: Memory): void;
  drained(side: Wired): void;
  ended(side: Wired): void;
  closed(side: Wired, error: boolean): void;
  lender(side: Wired): Gathering | undefined;
  readonly fault: (error: unknown) => void;
}

/** Sockets carry their relay in a property, so that all sessions share the same five listener functions. */
export const RELAY = Symbol('relay');
export type Wired = Socket & { [RELAY]?: Served | undefined };

/** Chunks from here on are taken as part of a bulk transfer and leave together (see `Gathering`). Smaller ones leave at once. */
export const BULK_OCTETS = 8 * 1024;

// Without functions made for each event: these run for every chunk of every session.
function onData(this: Wired, bytes: Buffer): void {
  const relay = this[RELAY];
  try {
    relay?.pass(this, bytes, 'free');
  } catch (error) {
    relay?.fault(error);
  }
}
function listener(call: (relay: Served, side: Wired) => void): (this: Wired) => void {
  return function (this: Wired): void {
    const relay = this[RELAY];
    try {
      if (relay !== undefined) call(relay, this);
    } catch (error) {
      relay?.fault(error);
    }
  };
}
/**
 * Takes the place of `push` (a documented method of streams) on a socket that has no intake: while nothing waits in the stream
 * and it flows, octets go straight to the relay. A stream emits an event and plans a look for more for every chunk, which is a
 * twentieth of what a short command costs. Whatever else is pushed, the end too, takes the stream's way, and comes as an event.
 */
function push(this: Wired, chunk: Buffer | null, encoding?: BufferEncoding): boolean {
  if (chunk === null || this[RELAY] === undefined || this.readableFlowing !== true || this.readableLength > 0)
    return Duplex.prototype.push.call(this, chunk, encoding);
  onData.call(this, chunk);
  // Should it be paused now, the next chunks fill the stream's buffer, which stops the reading.
  return true;
}
const LISTENERS = [
  ['drain', listener((relay, side) => relay.drained(side))],
  ['end', listener((relay, side) => relay.ended(side))],
  ['error', listener((relay, side) => relay.closed(side, true))],
  ['close', listener((relay, side) => relay.closed(side, false))],
] as const;

/** From now on this side calls the relay it carries. */
export function listen(side: Wired): void {
  for (const [event, listener] of LISTENERS) side.on(event, listener);
  const intake = intakeOf(side);
  if (intake !== undefined) return intake.open(new IntakeReader(side));
  side.on('data', onData);
  side.push = push;
}

/** This side is another's. */
export function forget(side: Wired): void {
  for (const [event, listener] of LISTENERS) side.off(event, listener);
  side.off('data', onData);
  side.push = Duplex.prototype.push;
  intakeOf(side)?.close();
}

/** Reads a side's octets. After a full record another one is likely, and gets a place from which it can leave as it is. */
class IntakeReader implements Reader {
  readonly #socket: Wired;
  #full = false;
  /** Whose room the socket has. */
  #lender: Gathering | undefined;

  constructor(socket: Wired) {
    this.#socket = socket;
  }

  room(): Buffer | undefined {
    this.#lender = this.#full ? this.#socket[RELAY]?.lender(this.#socket) : undefined;
    return this.#lender?.lend();
  }

  arrived(place: Buffer, octets: number): void {
    const relay = this.#socket[RELAY];
    try {
      this.#pass(place, octets, relay);
    } catch (error) {
      relay?.fault(error);
    }
  }

  #pass(place: Buffer, octets: number, relay: Served | undefined): void {
    const lender = this.#lender;
    this.#lender = undefined;
    this.#full = octets === RECORD_OCTETS;
    if (lender !== undefined && lender === relay?.lender(this.#socket))
      relay.pass(this.#socket, place.subarray(0, octets), 'lent');
    else if (octets < BULK_OCTETS) relay?.pass(this.#socket, copyOf(place, octets), 'kept');
    else relay?.pass(this.#socket, place.subarray(0, octets), 'borrowed');
    lender?.settle();
  }
}
