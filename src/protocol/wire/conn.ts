/** A mail connection seen as frames: promises of lines and runs over a socket, STARTTLS, time limits, hand-over to a relay. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type Clock, systemClock, type Timer } from '../../base/clock.ts';
import { asError, PosternError } from '../../base/error.ts';
import { Pieces } from '../../base/pieces.ts';
import { protocolError } from '../errors.ts';
import { type Account, FREE_OCTETS } from './budget.ts';
import { Framer } from './framer.ts';
import { copyOf, intakeOf, type Reader } from './intake.ts';

export interface ConnOptions {
  /** Milliseconds of silence after which a pending read fails with `wire.timeout`. 0: no limit. */
  readonly idleMs?: number;
  /** Most octets kept unread before the socket is paused. */
  readonly highWater?: number;
  readonly clock?: Clock;
  /** What is held for this peer counts there. */
  readonly account?: Account;
  /** When the budget is used up. `refuse`: the next read fails with `wire.no-room`. `pause`: it is read more slowly (default). */
  readonly crowded?: 'refuse' | 'pause';
}

/** Reading ahead is bounded: a peer that pipelines more than this waits until we have read. */
const HIGH_WATER = 64 * 1024;
const CRLF_OCTETS = 2;
/** With TLS's own 22 octets (RFC 8446 §5.2) no more than the kilobyte that Node's TLS begins with. */
const PIECE_OCTETS = 1000;

export class Conn {
  #socket: Socket;
  readonly #framer = new Framer();
  readonly #clock: Clock;
  readonly #highWater: number;
  readonly #account: Account | undefined;
  #mayRefuse: boolean;
  /** Octets of frames that were taken and belong to something unfinished. */
  #kept = 0;
  #idleMs: number;
  #waiting: (() => void) | undefined;
  #giveUp: ((reason: unknown) => void) | undefined;
  #waitsSince = 0;
  #idle: Timer | undefined;
  #watched: AbortSignal | undefined;
  #failure: PosternError | undefined;
  /** Why nothing more is read; the peer can still be told. */
  #refused: PosternError | undefined;
  #ended = false;
  #detached = false;

  constructor(socket: Socket, options: ConnOptions = {}) {
    this.#socket = socket;
    this.#clock = options.clock ?? systemClock;
    this.#highWater = options.highWater ?? HIGH_WATER;
    this.#idleMs = options.idleMs ?? 0;
    this.#account = options.account;
    this.#mayRefuse = options.crowded === 'refuse';
    this.#attach();
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** True when no byte has been received that was not read. */
  get drained(): boolean {
    return this.#framer.drained;
  }

  /** How what was not read begins. */
  start(octets: number): string {
    return this.#framer.start(octets);
  }

  get encrypted(): boolean {
    return (this.#socket as Partial<TLSSocket>).encrypted === true;
  }

  /** True once the other side has gone, in order or by error. */
  get closed(): boolean {
    return this.#ended || this.#failure !== undefined;
  }

  /** The budget for all peers is used up: nothing large is to be begun. */
  get crowded(): boolean {
    return this.#account?.crowded === true;
  }

  /** The peer was refused because the budget is used up. */
  get outOfRoom(): boolean {
    return this.#refused !== undefined;
  }

  /** The peer has signed in: from now on it is read more slowly instead of being refused. */
  trust(): void {
    this.#mayRefuse = false;
    this.#account?.signedIn();
  }

  /** So many octets of frames taken are kept, because what they belong to is not whole. @throws wire.no-room */
  keep(octets: number): void {
    this.#kept = octets;
    this.#reckon();
    if (this.#refused) throw this.#refused;
  }

  setIdle(ms: number): void {
    this.#idleMs = ms;
    this.#idle?.cancel();
    this.#idle = undefined;
    if (ms > 0 && this.#giveUp) this.#watchIdle(ms);
  }

  /**
   * The next line without CRLF; undefined at an orderly end between lines.
   * @throws wire.closed (end inside a line), wire.timeout, wire.line-too-long, wire.bare-newline, or the signal's reason
   */
  async line(limit: number, signal?: AbortSignal): Promise<Buffer | undefined> {
    return this.#take(() => this.#framer.line(limit), signal, true, limit + CRLF_OCTETS);
  }

  /** Exactly `length` octets in one buffer. @throws wire.closed, wire.timeout, or the signal's reason */
  async counted(length: number, signal?: AbortSignal): Promise<Buffer> {
    return (await this.#take(() => this.#framer.counted(length), signal, false, length))!;
  }

  /** `length` octets in pieces, constant memory. @throws wire.closed, wire.timeout, or the signal's reason */
  stream(length: number, signal?: AbortSignal): Pieces {
    let left = length;
    return new Pieces(async () => {
      if (left === 0) return undefined;
      const piece = (await this.#take(() => this.#framer.some(left), signal, false))!;
      left -= piece.length;
      return piece;
    });
  }

  /** A dotted run in pieces, dots unstuffed, without the stop line. @throws wire.closed, wire.timeout, or the signal's reason */
  dotted(signal?: AbortSignal): Pieces {
    let done = false;
    return new Pieces(async () => {
      while (!done) {
        const piece = (await this.#take(() => this.#framer.dotted(), signal, false))!;
        done = piece.done;
        if (piece.data.length > 0) return piece.data;
      }
      return undefined;
    });
  }

  /** A frame that `next` takes; `needs` is the longest it may be. As `line` and `counted`, which are kinds of it. */
  frame<T>(next: (framer: Framer) => T | undefined, needs: number, signal?: AbortSignal): Promise<T | undefined> {
    return this.#take(() => next(this.#framer), signal, true, needs);
  }

  /** What was taken is the next to be read again: for somebody else, who is to see it. Octets as in latin1. */
  putBack(text: string): void {
    this.#framer.putBack(Buffer.from(text, 'latin1'));
    this.#reckon();
  }

  /**
   * Sends; resolves at once while the kernel keeps up, otherwise when it has caught up.
   * @throws wire.closed, wire.timeout when the other side reads nothing for as long as it may be silent, the signal's reason
   */
  async write(data: string | Buffer, signal?: AbortSignal): Promise<void> {
    this.#assertOpen();
    if (this.#socket.destroyed || !this.#socket.writable) throw closed();
    const flows = typeof data === 'string' ? this.#socket.write(data, 'utf8') : this.#socket.write(data);
    if (!flows) await this.#flushed(signal);
  }

  /** Waits until what was written has left, or the connection has gone. */
  #flushed(signal: AbortSignal | undefined): Promise<void> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      const over = (failure?: unknown): void => {
        timer?.cancel();
        socket.off('drain', done);
        socket.off('close', done);
        signal?.removeEventListener('abort', aborted);
        if (failure === undefined) resolve();
        else reject(failure);
      };
      const done = (): void => over();
      const aborted = (): void => over(signal!.reason);
      const seconds = Math.round(this.#idleMs / 1000);
      const late = (): void => over(protocolError('wire.timeout', `nothing was read for ${seconds} seconds`));
      const timer = this.#idleMs > 0 ? this.#clock.after(this.#idleMs, late) : undefined;
      socket.on('drain', done);
      socket.on('close', done);
      signal?.addEventListener('abort', aborted, { once: true });
      if (signal?.aborted === true) aborted();
    });
  }

  /**
   * As `write`, for the one long line of a sign-in, its token: in pieces, each of which has left before the next. What does not
   * fit into the first buffer of Node's TLS gets another one of 16 KiB, which stays while the connection does. @throws wire.closed
   */
  async writeInPieces(text: string): Promise<void> {
    const octets = Buffer.from(text);
    let at = 0;
    for (; octets.length - at > PIECE_OCTETS; at += PIECE_OCTETS) {
      this.#assertOpen();
      if (this.#socket.destroyed || !this.#socket.writable) throw closed();
      const piece = octets.subarray(at, at + PIECE_OCTETS);
      await new Promise<void>((resolve) => this.#socket.write(piece, () => resolve()));
    }
    await this.write(octets.subarray(at));
  }

  /** Turns to TLS: `wrap` secures the plain socket. @throws wire.injected when plain bytes wait (RFC 3207 §4.2, CVE-2011-0411) */
  async upgrade(wrap: (plain: Socket) => Promise<TLSSocket>): Promise<void> {
    if (!this.#framer.drained) throw protocolError('wire.injected', 'plain text was sent together with STARTTLS');
    this.#release();
    this.#socket = await wrap(this.#socket);
    this.#attach();
  }

  /** Ends framing: the socket, paused and without our listeners, and the bytes that were read but not taken. */
  detach(): { readonly socket: Socket; readonly rest: Buffer } {
    this.#assertOpen();
    this.#detached = true;
    this.#release();
    this.#socket.removeAllListeners('session'); // a server that gave no TLS ticket until now gives none
    this.#account?.set(0);
    return { socket: this.#socket, rest: this.#framer.rest() };
  }

  /** Says goodbye: flushes what was written, then closes. A peer that never reads cannot hold it longer than 5 s. */
  end(data?: string): void {
    if (this.#socket.destroyed) return;
    const socket = this.#socket;
    const timer = this.#clock.after(5000, () => socket.destroy());
    socket.once('close', () => timer.cancel());
    if (data === undefined || socket.writableEnded) socket.end();
    else socket.end(data);
    socket.off('data', this.#onData); // it would pause at the high-water mark, and the end would never be read
    intakeOf(socket)?.open(NOBODY);
    socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #attach(): void {
    const intake = intakeOf(this.#socket);
    if (intake === undefined) this.#socket.on('data', this.#onData);
    else {
      intake.open(this.#reader);
      intake.deliver();
    }
    this.#socket.on('end', this.#onEnd);
    this.#socket.on('error', this.#onError);
    this.#socket.on('close', this.#onEnd);
  }

  #release(): void {
    this.#socket.pause();
    this.#socket.off('data', this.#onData);
    intakeOf(this.#socket)?.close();
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('error', this.#onError);
    this.#socket.off('close', this.#onEnd);
    this.#rest();
  }

  #rest(): void {
    this.#idle?.cancel();
    this.#idle = undefined;
    this.#watch(undefined);
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#refused) return;
    try {
      this.#framer.push(bytes);
      this.#reckon();
      if (this.#framer.size > this.#mark) this.#socket.pause();
    } catch (error) {
      this.#failure ??= asError(error); // whoever reads is told
    }
    this.#waiting?.();
  };

  get #mark(): number {
    return this.#account?.over === true ? FREE_OCTETS : this.#highWater;
  }

  /** Tells the account what is held. A peer that may be refused holds nothing more when there is no room for it. */
  #reckon(): void {
    if (this.#account === undefined) return;
    this.#account.set(this.#framer.held + this.#kept);
    if (!this.#mayRefuse || !this.#account.over) return;
    this.#refused = protocolError('wire.no-room', 'the server holds too much for others just now');
    this.#framer.rest();
    this.#kept = 0;
    this.#account.set(0);
    this.#socket.pause();
    this.#giveUp?.(this.#refused);
  }

  get #reader(): Reader {
    return { room: () => undefined, arrived: (place, octets) => this.#onData(copyOf(place, octets)) };
  }

  readonly #onEnd = (): void => {
    this.#ended = true;
    if (this.#socket.destroyed) this.#account?.close();
    this.#waiting?.();
    this.#rest();
  };

  readonly #onError = (error: Error): void => {
    this.#failure ??=
      error instanceof PosternError
        ? error
        : protocolError('wire.closed', `the connection broke: ${error.message}`, { cause: error });
    this.#waiting?.();
  };

  #assertOpen(): void {
    if (this.#failure) throw this.#failure;
    if (this.#detached) throw protocolError('wire.closed', 'the connection was handed over');
  }

  async #take<T>(
    next: () => T | undefined,
    signal: AbortSignal | undefined,
    endIsFine: boolean,
    needs = 0, // octets that must be let in before the frame can be taken or refused, however low the mark
  ): Promise<T | undefined> {
    for (;;) {
      if (this.#refused) throw this.#refused;
      const frame = next();
      if (frame !== undefined) {
        this.#reckon();
        return frame;
      }
      this.#assertOpen();
      if (this.#ended) {
        if (endIsFine && this.#framer.drained) return undefined;
        throw closed();
      }
      signal?.throwIfAborted();
      if (this.#framer.size <= this.#mark || this.#framer.size < needs) this.#socket.resume();
      await this.#more(signal);
    }
  }

  #more(signal: AbortSignal | undefined): Promise<void> {
    this.#watch(signal);
    this.#waitsSince = this.#clock.now();
    if (this.#idleMs > 0 && this.#idle === undefined) this.#watchIdle(this.#idleMs);
    return new Promise((resolve, reject) => {
      this.#waiting = () => {
        this.#waiting = undefined;
        this.#giveUp = undefined;
        resolve();
      };
      this.#giveUp = (reason) => {
        this.#waiting = undefined;
        this.#giveUp = undefined;
        reject(reason);
      };
    });
  }

  /** One timer for many waits: a busy connection waits some thousand times while it would be armed again. */
  #watchIdle(ms: number): void {
    this.#idle = this.#clock.after(ms, () => {
      this.#idle = undefined;
      if (this.#giveUp === undefined || this.#idleMs <= 0) return;
      const left = this.#waitsSince + this.#idleMs - this.#clock.now();
      if (left > 0) return this.#watchIdle(left);
      const seconds = Math.round(this.#idleMs / 1000);
      this.#giveUp(protocolError('wire.timeout', `nothing was received for ${seconds} seconds`));
    });
  }

  /** Listens to the signal of the wait under way; sessions give the same one again and again. */
  #watch(signal: AbortSignal | undefined): void {
    if (this.#watched === signal) return;
    this.#watched?.removeEventListener('abort', this.#onAbort);
    this.#watched = signal;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  readonly #onAbort = (): void => this.#giveUp?.(this.#watched?.reason);
}

const NOBODY: Reader = { room: () => undefined, arrived: () => undefined };

function closed(): PosternError {
  return protocolError('wire.closed', 'the connection was closed by the other side');
}
