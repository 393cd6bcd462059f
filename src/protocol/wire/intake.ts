/**
 * Reading a socket without a buffer per read (Node's `onread` option): octets land where their reader says, or in one place that
 * all sockets share. Memory that is used again at once stays in the processor's cache; a new buffer for each TLS record of 16
 * KiB, freed by the garbage collector tens of megabytes later, costs a third of what relaying costs.
 */
import { Socket } from 'node:net';

/** Who reads a socket. */
export interface Reader {
  /**
   * Where the next octets are to go; undefined: the shared place. Asked after each read, and the reader's promise that nothing
   * else touches this memory until the next one, whenever that comes.
   */
  room(): Buffer | undefined;
  /** So many octets have come, in the last room or in the shared place; there the next read of any socket overwrites them. */
  arrived(place: Buffer, octets: number): void;
}

/** As much as the kernel gives at once. */
const shared = Buffer.allocUnsafeSlow(64 * 1024);

const INTAKE = Symbol('intake');
type Taken = Socket & { [INTAKE]?: Intake };

/** Whom the octets of such a socket are for; one reader at a time. */
export class Intake {
  #reader: Reader | undefined;
  /** What came while there was no reader: records that TLS had decrypted already when the socket was paused. */
  #early: Buffer[] = [];

  /** For the options of the socket. */
  readonly onread = {
    buffer: (): Buffer => this.#reader?.room() ?? shared,
    callback: (octets: number, place: Uint8Array): boolean => {
      if (this.#reader === undefined) this.#early.push(copyOf(place as Buffer, octets));
      else this.#reader.arrived(place as Buffer, octets);
      return true;
    },
  };

  /** Makes it known as the socket's. */
  belongTo(socket: Socket): void {
    (socket as Taken)[INTAKE] = this;
  }

  /** From now on this reader gets what arrives. */
  open(reader: Reader): void {
    this.#reader = reader;
  }

  close(): void {
    this.#reader = undefined;
  }

  /** Gives the reader what came before it. */
  deliver(): void {
    for (const early of this.#early.splice(0)) this.#reader?.arrived(early, early.length);
  }
}

/** What has arrived, in memory of its own. */
export function copyOf(place: Buffer, octets: number): Buffer {
  const copy = Buffer.allocUnsafe(octets);
  place.copy(copy, 0, 0, octets);
  return copy;
}

/** How a socket is read, when it is not read as a stream. */
export function intakeOf(socket: Socket): Intake | undefined {
  return (socket as Taken)[INTAKE];
}

/**
 * Has a paused socket that was read as a stream read this way from now on; what its stream still holds comes first, with
 * `deliver`. Accepted sockets, and TLS over a socket that is there, cannot be made with `onread`, but heed the fields that this
 * option sets (docs/decisions/007-relay.md).
 * @returns undefined when this runtime has no such fields, or the socket is gone: it stays a stream
 */
export function adopt(socket: Socket): Intake | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (FIELDS === undefined || typeof handle !== 'object' || handle === null || socket.readableEnded) return undefined;
  const use: unknown = Reflect.get(handle, 'useUserBuffer');
  if (typeof use !== 'function') return undefined;
  const intake = new Intake();
  const held = socket.read() as Buffer | null;
  if (held !== null) intake.onread.callback(held.length, held);
  const first = intake.onread.buffer();
  Reflect.set(socket, FIELDS.buffer, first);
  Reflect.set(socket, FIELDS.next, intake.onread.buffer);
  Reflect.set(socket, FIELDS.callback, intake.onread.callback);
  Reflect.apply(use, handle, [first]);
  intake.belongTo(socket);
  if (socket.isPaused()) socket.pause(); // the stream has read ahead; this socket's pause stops that
  return intake;
}

/** The fields that `onread` sets, told by what they hold in a socket made for this purpose. */
const FIELDS = fieldsOfOnread();

function fieldsOfOnread(): Record<'buffer' | 'next' | 'callback', symbol> | undefined {
  const callback = (): boolean => true;
  const next = (): Buffer => shared;
  const fieldOf = (socket: Socket, value: unknown): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find((field) => Reflect.get(socket, field) === value);
  const growing = new Socket({ onread: { buffer: next, callback } });
  const buffer = fieldOf(new Socket({ onread: { buffer: shared, callback } }), shared);
  const following = fieldOf(growing, next);
  const called = fieldOf(growing, callback);
  return buffer && following && called ? { buffer, next: following, callback: called } : undefined;
}
