/**
 * Octets of one direction of a relay that arrive within a turn of the event loop, side by side in a block, so that they leave
 * together: a TLS socket hands out one record (16 KiB) at a time, and writing four at once costs a fifth less CPU. One write is
 * under way at a time, because a socket would copy those that wait into one piece.
 */
import type { Socket } from 'node:net';

/** The largest TLS record (RFC 8446 §5.1). */
export const RECORD_OCTETS = 16 * 1024;
/** A few reads of the kernel, 64 KiB each; less costs more copying, more does not stay in the processor's cache. */
const BLOCK_OCTETS = 256 * 1024;
/** Octets that may wait for a slow receiver before its sender is no longer read. */
export const WAITING_OCTETS = 256 * 1024;
/** Blocks that wait to be used again; a busy gateway needs a few for each direction in which bulk data flows. */
const MAX_FREE = 32;

interface Block {
  readonly memory: Buffer;
  /** Parts of it that have not been written. */
  parts: number;
  /** Nothing more is put into it. */
  closed: boolean;
  /** A socket may still write into it. */
  lent: boolean;
}

interface Part {
  readonly octets: Buffer;
  /** Where they stand; undefined: in memory of their own. */
  readonly block: Block | undefined;
}

/** What the sender has to know. */
export interface Sender {
  /** Too much waits: it is not to be read until `flowing`. */
  blocked(): void;
  flowing(): void;
}

/** The one used last first: it is still in the processor's cache. */
const free: Buffer[] = [];

export class Gathering {
  readonly #to: Socket;
  readonly #sender: Sender;
  #block: Block | undefined;
  #used = 0;
  #sent = 0;
  #planned = false;
  /** Parts that wait for the one under way. */
  #queue: Part[] = [];
  #queued = 0;
  #writing = false;
  #blocked = false;

  constructor(to: Socket, sender: Sender) {
    this.#to = to;
    this.#sender = sender;
  }

  /** Whether octets wait here that have to leave before others. */
  get waiting(): boolean {
    return this.#used > this.#sent || this.#queue.length > 0;
  }

  /** Octets that wait behind the part under way. */
  get queued(): number {
    return this.#queued;
  }

  /** Too much waits for the receiver. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** Room for the next record, the socket's until `settle`. */
  lend(): Buffer {
    const block = this.#open(RECORD_OCTETS);
    block.lent = true;
    return block.memory.subarray(this.#used);
  }

  /** Octets are in the room that was lent. */
  take(length: number): void {
    this.#block!.lent = false;
    this.#used += length;
    this.#plan();
  }

  /** What was lent came back, used or not: an idle session holds no block. */
  settle(): void {
    if (this.#block !== undefined) this.#block.lent = false;
    this.#letGo();
  }

  /** Copies octets, which may be a part of the room that was lent. */
  add(octets: Buffer): void {
    if (this.#block !== undefined) this.#block.lent = false;
    for (let at = 0; at < octets.length;) {
      const { memory } = this.#open(Math.min(octets.length - at, RECORD_OCTETS));
      const copied = octets.copy(memory, this.#used, at);
      this.#used += copied;
      at += copied;
      this.#plan();
    }
  }

  /** Sends octets that nobody changes any more, after what is here. */
  send(octets: Buffer): void {
    this.#gathered();
    this.#enqueue({ octets, block: undefined });
  }

  /** Hands everything to the socket, so that others can be written behind it. */
  flush(): void {
    this.#gathered();
    for (const part of this.#queue.splice(0)) this.#write(part);
    this.#queued = 0;
  }

  /** What has been gathered leaves as one part. */
  #gathered(): void {
    const block = this.#block;
    if (block === undefined) return;
    if (this.#used > this.#sent) {
      const octets = block.memory.subarray(this.#sent, this.#used);
      this.#sent = this.#used;
      block.parts += 1;
      this.#enqueue({ octets, block });
    }
  }

  /** Gives the block up when nothing of it is needed. One that a socket may write into stays, for that socket and nobody else. */
  #letGo(): void {
    const block = this.#block;
    if (block !== undefined && !block.lent && block.parts === 0 && this.#used === this.#sent) this.#close();
  }

  #plan(): void {
    if (this.#used + RECORD_OCTETS > BLOCK_OCTETS) this.#gathered();
    else if (!this.#planned) {
      this.#planned = true;
      setImmediate(this.#leave);
    }
  }

  readonly #leave = (): void => {
    this.#planned = false;
    this.#gathered();
  };

  #open(octets: number): Block {
    if (this.#block !== undefined && this.#used + octets > BLOCK_OCTETS) {
      this.#gathered();
      if (this.#block !== undefined) this.#close();
    }
    if (this.#block === undefined) {
      const memory = free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_OCTETS);
      this.#block = { memory, parts: 0, closed: false, lent: false };
      this.#used = this.#sent = 0;
    }
    return this.#block;
  }

  #close(): void {
    const block = this.#block!;
    this.#block = undefined;
    this.#used = this.#sent = 0;
    block.closed = true;
    reuse(block);
  }

  #enqueue(part: Part): void {
    if (!this.#writing) {
      this.#write(part);
      return;
    }
    this.#queue.push(part);
    this.#queued += part.octets.length;
    if (this.#queued > WAITING_OCTETS && !this.#blocked) {
      this.#blocked = true;
      this.#sender.blocked();
    }
  }

  #write({ octets, block }: Part): void {
    if (!this.#to.writable) {
      this.#written(block);
      return;
    }
    this.#writing = true;
    this.#to.write(octets, () => {
      this.#writing = false;
      this.#written(block);
      const next = this.#queue.shift();
      if (next !== undefined) {
        this.#queued -= next.octets.length;
        this.#write(next);
      }
      if (this.#blocked && this.#queued < WAITING_OCTETS / 2) {
        this.#blocked = false;
        this.#sender.flowing();
      }
    });
  }

  #written(block: Block | undefined): void {
    if (block === undefined) return;
    block.parts -= 1;
    if (block === this.#block) this.#letGo();
    else reuse(block);
  }
}

function reuse(block: Block): void {
  if (block.closed && block.parts === 0 && !block.lent && free.length < MAX_FREE) free.push(block.memory);
}
