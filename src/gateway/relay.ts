/**
 * Bytes both ways between a signed-in client and its provider, untouched, with back-pressure. Nothing is parsed here; a tap
 * that is given may look, leave out and put in, and have another server take the place of the first.
 */
import type { Socket } from 'node:net';
import type { Timer } from '../base/clock.ts';
import { guarded } from '../base/guard.ts';
import { intakeOf } from '../protocol/wire/intake.ts';
import { Answers, type Speaker } from './answers.ts';
import { Gathering, WAITING_OCTETS } from './gathering.ts';
import { Holding } from './holding.ts';
import { type Memory, release } from './release.ts';
import { BULK_OCTETS, forget, listen, RELAY, type Served, type Wired } from './relay-listeners.ts';
import type { RelayEnd, RelayOptions, RelaySide, RunningRelay, Tap } from './relay-types.ts';

/** Starts passing bytes. */
export function relay(client: RelaySide, upstream: RelaySide, options: RelayOptions): RunningRelay {
  const session = new Relay(client.socket, upstream.socket, options);
  if (upstream.rest.length > 0) session.pass(upstream.socket, upstream.rest);
  if (client.rest.length > 0) session.pass(client.socket, client.rest);
  session.begin(client.socket);
  session.begin(upstream.socket);
  return session;
}

/** Copying chunks from here on would cost more than writing them one by one. */
const LARGE_OCTETS = 48 * 1024;

/** Goodbyes and last bytes are given this long to leave before the socket is dropped. */
const LINGER_MS = 5_000;

class Relay implements RunningRelay, Speaker, Served {
  readonly #client: Wired;
  #server: Wired;
  readonly #options: RelayOptions;
  readonly #tap: Tap | undefined;
  #toClient = 0;
  #toServer = 0;
  #seen = 0;
  /** Octets in both directions when somebody asked whether it rests. */
  #asked = -1;
  #idle: Timer;
  #over = false;
  #clientPaused = false;
  /** The client does not read what it is told by us, and is not read until it does. */
  #clientDeaf = false;
  #clientEnded = false;
  readonly #answers = new Answers(this);
  readonly #held: Holding;
  /** A chunk is looked at. */
  #passing = false;
  /** The server has gone and nobody has taken its place yet. */
  #alone = false;
  /** Bulk data on its way; idle sessions have none. */
  #downward: Gathering | undefined;
  #upward: Gathering | undefined;

  constructor(client: Wired, server: Wired, options: RelayOptions) {
    this.#client = client;
    this.#server = server;
    this.#options = options;
    this.#tap = options.tap;
    this.#held = new Holding(options.account);
    this.#tap?.attach(this);
    this.#idle = options.clock.after(options.idleMs, this.#idled);
    this.#wire(client);
    this.#wire(server);
  }

  /** Lets a side speak. What happened to its socket between its last reader and this relay is not told again. */
  begin(side: Wired): void {
    if (this.#over) return;
    intakeOf(side)?.deliver();
    if (side.destroyed) this.closed(side, side.errored !== null);
    else if (side.readableEnded) this.ended(side);
    else if (side !== this.#client || this.#clientFlows) side.resume();
  }

  cut(goodbye?: string, reason: RelayEnd['reason'] = 'cut'): void {
    if (this.#over) return;
    this.#flush();
    if (goodbye !== undefined && this.#client.writable) this.#client.write(goodbye);
    this.#finish(reason);
  }

  readonly fault = (error: unknown): void => {
    if (this.#options.onFault === undefined) throw error;
    const words = this.#options.onFault(error);
    // Nothing that might throw again: what has been gathered or kept back is lost with the session.
    const over = this.#over;
    this.#over = true;
    this.#idle.cancel();
    this.#answers.close();
    for (const side of [this.#client, this.#server])
      // Another's goes on without us.
      if (side[RELAY] === this) this.#dismiss(side, side === this.#client ? words : undefined);
    if (!over) this.#options.onEnd({ bytesToClient: this.#toClient, bytesToServer: this.#toServer, reason: 'error' });
  };

  #run(work: () => void): void {
    guarded(this.fault, work);
  }

  rests(): boolean {
    const still = this.octets === this.#asked;
    this.#asked = this.octets;
    const rest = this.#tap?.rest ?? 'none';
    return rest === 'waiting' || (rest === 'between' && still);
  }

  toClient(text: string): void {
    this.#toClient += text.length;
    this.#answers.add(text, this.#client);
    this.#passEnd();
  }

  say(text: string): void {
    this.#downward?.flush();
    if (!this.#client.writable || this.#client.write(text, 'latin1') || this.#client.writableLength <= WAITING_OCTETS)
      return;
    this.#clientDeaf = true;
    this.#client.pause();
    this.#stand();
  }

  readOn(): void {
    this.#run(() => {
      const takes = this.#upward?.blocked !== true && this.#server.writableLength <= WAITING_OCTETS;
      if (!this.#over && this.#clientFlows && takes) this.#client.resume();
    });
  }

  get #clientFlows(): boolean {
    return !this.#clientPaused && !this.#clientDeaf && !this.#held.crowded && !this.#answers.yields;
  }

  toServer(bytes: Buffer): void {
    this.#toServer += bytes.length;
    this.#upward?.flush();
    if (this.#server.writable) this.#server.write(bytes);
    this.#passEnd();
  }

  replaceServer({ socket, rest }: RelaySide, lastWords?: string): void {
    if (this.#over) return this.#close(socket, lastWords);
    this.#flush();
    this.#downward = this.#upward = undefined;
    this.#dismiss(this.#server, lastWords);
    this.#server = socket;
    this.#alone = false;
    this.#wire(socket);
    if (rest.length > 0) this.pass(socket, rest);
    this.begin(socket);
    this.#passEnd();
  }

  dropServer(): void {
    if (this.#over || this.#alone) return;
    // Not what waits to be sent: it is the text of a message that is to end nowhere.
    this.#upward = undefined;
    this.#alone = true;
    this.#dismiss(this.#server);
  }

  heard(bytes: Buffer): void {
    if (!this.#over && bytes.length > 0) this.pass(this.#server, bytes);
  }

  releaseServer(lastWords: string): Socket {
    const server = this.#server;
    server.pause();
    server[RELAY] = undefined;
    forget(server);
    this.#flush();
    this.toClient(lastWords);
    this.#finish('client-closed', server);
    return server;
  }

  pauseClient(paused: boolean): void {
    this.#clientPaused = paused;
    if (paused) this.#client.pause();
    else this.drained(this.#server);
  }

  loseServer(): void {
    if (!this.#over && !this.#lose()) this.#finish('server-closed');
  }

  get octets(): number {
    return this.#toClient + this.#toServer;
  }

  get clientStuck(): boolean {
    return this.#client.writableLength > 0;
  }

  get serverStuck(): boolean {
    return !this.#alone && this.#server.writableLength > 0;
  }

  /** Octets of one side, for the other. */
  pass(from: Wired, received: Buffer, memory: Memory = 'kept'): void {
    if (this.#over) return; // what is still on its way is for nobody
    const fromClient = from === this.#client;
    this.#answers.join();
    this.#passing = true;
    const bytes =
      this.#tap === undefined ? received : fromClient ? this.#tap.fromClient(received) : this.#tap.fromServer(received);
    this.#answers.leave();
    if (bytes.length > 0) this.#forward(fromClient, bytes, bytes === received ? memory : 'borrowed');
    this.#tap?.passed?.();
    this.#passing = false;
    this.#reckon();
    if (!fromClient && this.#tap?.serverEnding === true) this.#lose();
    this.#passEnd();
  }

  #forward(fromClient: boolean, bytes: Buffer, memory: Memory): void {
    const to = fromClient ? this.#server : this.#client;
    if (fromClient) this.#toServer += bytes.length;
    else this.#toClient += bytes.length;
    if (!to.writable) return;
    const waiting = (fromClient ? this.#upward : this.#downward)?.waiting === true;
    const large = bytes.length >= LARGE_OCTETS && memory !== 'borrowed';
    if (memory === 'lent') this.#gathering(fromClient).take(bytes.length);
    else if (large) this.#gathering(fromClient).send(bytes);
    else if (waiting || bytes.length >= BULK_OCTETS) {
      this.#gathering(fromClient).add(bytes);
      if (memory === 'free') release(bytes);
    } else {
      // Above the socket's own high-water mark `drain` is certain to follow, so a pause is always lifted.
      const flows = to.write(memory === 'borrowed' ? Buffer.from(bytes) : bytes);
      if (!flows && to.writableLength > WAITING_OCTETS) this.#pause(fromClient);
    }
  }

  /** Who has room for the next record of a side. */
  lender(side: Wired): Gathering | undefined {
    const fromClient = side === this.#client;
    const to = fromClient ? this.#server : this.#client;
    return this.#over || !to.writable ? undefined : this.#gathering(fromClient);
  }

  #gathering(fromClient: boolean): Gathering {
    const made = fromClient ? this.#upward : this.#downward;
    if (made !== undefined) return made;
    const to = fromClient ? this.#server : this.#client;
    const gathering = new Gathering(to, {
      blocked: () => this.#pause(fromClient),
      flowing: () => this.#run(() => this.drained(to)),
    });
    if (fromClient) this.#upward = gathering;
    else this.#downward = gathering;
    return gathering;
  }

  #pause(fromClient: boolean): void {
    (fromClient ? this.#client : this.#server).pause();
    this.#stand();
  }

  /** A side does not read, or does not end what it began: should that last while memory is short, the session ends. */
  #stand(): void {
    const queued = (this.#downward?.queued ?? 0) + (this.#upward?.queued ?? 0) + this.#held.octets;
    const octets = this.#client.writableLength + this.#server.writableLength + queued;
    this.#options.account?.stands(octets, () => this.#run(() => this.cut()));
  }

  /** Tells the account what the tap holds. While too much is held for all, none may add to it. */
  #reckon(): void {
    if (this.#over || !this.#held.set(this.#tap?.held ?? 0)) return;
    if (this.#held.octets > 0) this.#stand();
    else this.drained(this.#server);
    if (!this.#over && this.#held.waits(() => this.#run(() => this.drained(this.#server)))) this.#client.pause();
  }

  #flush(): void {
    this.#answers.flush();
    this.#downward?.flush();
    this.#upward?.flush();
  }

  drained(side: Wired): void {
    const gathering = side === this.#client ? this.#downward : this.#upward;
    if (gathering?.blocked === true || side.writableLength > WAITING_OCTETS) return;
    if (this.#held.octets === 0) this.#options.account?.goesOn();
    else this.#stand();
    if (side === this.#server) {
      if (this.#clientFlows) this.#client.resume();
      return;
    }
    this.#server.resume();
    const wasDeaf = this.#clientDeaf;
    this.#clientDeaf = false;
    if (wasDeaf) this.drained(this.#server);
  }

  /** One side has said all it had to say: pass that on, and keep the other direction open (half-close). */
  ended(side: Wired): void {
    if (this.#over) return; // both ends are being closed, or the server is another's
    if (side === this.#client) {
      this.#clientEnded = true;
      return this.#passEnd();
    }
    if (this.#lose()) return;
    this.#flush();
    if (this.#client.writable) this.#client.end();
  }

  /**
   * Tells the server that the client has ended, when nothing is owed: over TLS it may take that for the end of both directions, and
   * drop what it has not answered (RFC 5246 §7.2.1).
   */
  #passEnd(): void {
    if (this.#over || !this.#clientEnded || this.#passing || this.#tap?.owing === true) return;
    if (this.#alone) return this.#finish('client-closed');
    this.#flush();
    if (this.#server.writable) this.#server.end();
  }

  closed(side: Wired, error: boolean): void {
    if (side === this.#server && this.#lose()) return;
    this.#finish(error ? 'error' : side === this.#client ? 'client-closed' : 'server-closed');
  }

  /** The timer is not moved on every byte: it wakes once per idle period and looks whether anything went through. */
  #checkIdle(): void {
    if (this.octets === this.#seen && this.#tap?.mayBeSilent !== true)
      return this.cut(this.#options.idleGoodbye, 'idle');
    this.#seen = this.octets;
    this.#idle = this.#options.clock.after(this.#options.idleMs, this.#idled);
  }

  readonly #idled = (): void => this.#run(() => this.#checkIdle());

  /** @returns true when the session goes on without this server */
  #lose(): boolean {
    if (this.#alone) return true;
    if (this.#over || this.#tap === undefined || !this.#client.writable) return false;
    if ((this.#clientEnded && this.#tap.owing !== true) || this.#tap.serverGone() === 'end') return false;
    this.#alone = true;
    this.#dismiss(this.#server);
    return true;
  }

  #wire(socket: Wired): void {
    socket[RELAY] = this;
    listen(socket);
  }

  /** A side that is not ours any more: what it still says goes nowhere. */
  #dismiss(socket: Wired, lastWords?: string): void {
    socket[RELAY] = undefined;
    this.#close(socket, lastWords);
  }

  #close(socket: Wired, lastWords?: string): void {
    if (socket.destroyed) return;
    const drop = this.#options.clock.after(LINGER_MS, () => socket.destroy());
    socket.once('close', () => drop.cancel());
    if (lastWords === undefined || !socket.writable) socket.end();
    else socket.end(lastWords);
    socket.resume();
  }

  /** @param released a server that goes on without us */
  #finish(reason: RelayEnd['reason'], released?: Socket): void {
    if (this.#over) return;
    this.#over = true;
    this.#idle.cancel();
    this.#answers.close();
    this.#flush();
    this.#close(this.#client);
    if (released === undefined) this.#close(this.#server);
    this.#options.onEnd({ bytesToClient: this.#toClient, bytesToServer: this.#toServer, reason });
  }
}
