/**
 * Reading a socket without a buffer per read (Node's `onread` option): octets land where their reader says, or in one place that
 * all sockets share. Memory that is used again at once stays in the processor's cache; a new buffer for each TLS record of 16
 * KiB, freed by the garbage collector tens of megabytes later, costs a third of what relaying costs. Node has the option for TLS
 * sockets that connect, so it is how providers are read; what was accepted, or turned to TLS later, is a stream.
 */
import type { Socket } from 'node:net';

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
