/** A mail connection that can go wrong in the middle: cut, half open, slow. */
import { Conn, type ConnOptions } from '../../protocol/wire/conn.ts';
import type { Clock } from '../../base/clock.ts';
import type { FaultBoard, Spot } from '../faults/board.ts';
import type { Visitor } from '../door.ts';

/** As slow as a bad radio link. */
const DRIP_OCTETS = 16;

export class Line extends Conn {
  readonly #visitor: Visitor;
  readonly #faults: FaultBoard;
  readonly #wall: Clock;
  #spot: Spot | undefined;
  #unwatch: (() => void) | undefined;
  #left: number | undefined;
  #pauseMs: number | undefined;
  #dead = false;

  constructor(visitor: Visitor, faults: FaultBoard, wall: Clock, options: ConnOptions) {
    super(visitor.socket, { ...options, clock: wall });
    this.#visitor = visitor;
    this.#faults = faults;
    this.#wall = wall;
    visitor.raw.once('close', () => this.#unwatch?.());
  }

  /** From now on the faults of this mailbox bite: called after sign-in. */
  arm(spot: Spot): void {
    this.#spot = spot;
    this.#unwatch = this.#faults.observe(() => {
      if (this.#faults.bite('connection-cut', spot)) this.reset();
    });
  }

  override async write(data: string | Buffer): Promise<void> {
    if (!this.#spot) return super.write(data);
    this.#meetFaults(this.#spot);
    if (this.#dead) return this.#untilGone();
    if (this.#left === undefined && this.#pauseMs === undefined) return super.write(data);
    const octets = typeof data === 'string' ? Buffer.from(data) : data;
    const some = this.#left === undefined ? octets : octets.subarray(0, this.#left);
    if (this.#left !== undefined && this.#left <= octets.length) {
      await this.#flush(some);
      this.reset();
      return this.#untilGone();
    }
    if (this.#left !== undefined) this.#left -= some.length;
    if (this.#pauseMs === undefined) await super.write(some);
    else await this.#drip(some, this.#pauseMs);
  }

  /** STARTTLS. @throws wire.injected */
  async secure(): Promise<void> {
    await this.upgrade((plain) => this.#visitor.secure(plain));
  }

  override end(data?: string): void {
    if (!this.#dead) super.end(data);
  }

  /** Cuts the connection with RST. */
  reset(): void {
    this.#dead = true;
    this.#visitor.raw.resetAndDestroy();
    this.destroy();
  }

  #meetFaults(spot: Spot): void {
    if (this.#dead) return;
    if (this.#left === undefined) this.#left = this.#faults.bite('connection-reset', spot)?.value;
    if (this.#pauseMs === undefined) this.#pauseMs = this.#faults.bite('connection-slow', spot)?.value;
    if (this.#faults.bite('connection-half-open', spot)) {
      this.#dead = true;
      this.socket.pause();
    }
  }

  /** Resolves when the kernel has it. */
  #flush(octets: Buffer): Promise<void> {
    return new Promise((resolve) => this.socket.write(octets, () => resolve()));
  }

  async #drip(octets: Buffer, pauseMs: number): Promise<void> {
    for (let at = 0; at < octets.length; at += DRIP_OCTETS) {
      if (at > 0) await this.#wall.sleep(pauseMs);
      await super.write(octets.subarray(at, at + DRIP_OCTETS));
    }
  }

  /** Never answers; ends when the other side gives up. */
  #untilGone(): Promise<void> {
    if (this.socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => this.socket.once('close', () => resolve()));
  }
}
