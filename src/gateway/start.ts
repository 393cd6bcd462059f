/** The gateway: listeners, what their sessions share, certificate reload, revocation, drain. */
import { clientOf } from '../base/client-of.ts';
import type { AddressInfo, Server, Socket } from 'node:net';
import { hostname as machineName } from 'node:os';
import { atMost } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import { guarded } from '../base/guard.ts';
import { Rarely } from '../base/rarely.ts';
import { HandshakeFailures } from '../protocol/tls/handshake-failure.ts';
import { secureServer, type ServerContext, serverContext } from '../protocol/tls/server.ts';
import { Budget } from '../protocol/wire/budget.ts';
import { Conn } from '../protocol/wire/conn.ts';
import { Admission, type LimitReached, plainAddress } from './admission.ts';
import { gatewayError } from './errors.ts';
import { upstreamError } from '../upstream/errors.ts';
import { ExtensionBook } from './extension-book.ts';
import { refusal } from './goodbye.ts';
import { listen } from './listener.ts';
import { Upstream } from '../upstream/upstream.ts';
import { ReusableSessions } from './reuse.ts';
import { Session } from './session.ts';
import type { Surroundings } from './surroundings.ts';
import type { Protocol } from '../store/protocols.ts';
import type { GatewayDeps, GatewayLimits, ListenerConfig } from './types.ts';

const MINUTE = 60_000;

export const defaultLimits: GatewayLimits = {
  maxConnections: 10_000,
  // A quarter of all: one address cannot lock the others out, yet an office behind one address, or a balancer on this machine, fits.
  maxConnectionsPerAddress: 2_500,
  // 2,000 programs behind one address may start at the same moment, and no protocol fills an address's places.
  maxWaitingPerAddress: 2_000,
  // Some programs ask their user about the certificate or the password while they are connected. Who only waits makes room (above).
  signInMs: 3 * MINUTE,
  // Exchange may take half a minute for a sign-in; most programs wait a minute.
  upstreamMs: 45_000,
  // Longer than each RFC's minimum, because two clocks and a keep-alive at exactly the minimum never meet.
  idleMs: { imap: 35 * MINUTE, pop3: 11 * MINUTE, smtp: 10 * MINUTE },
  lineOctets: 16 * 1024,
  literalOctets: 16 * 1024,
  maxFailures: 5,
  // Longer than a minute, for the programs that look every minute, and no longer: each counts against the provider's limits.
  reuseMs: 90_000,
  drainMs: 30_000,
};

/** Large buffers make an upload a sixth cheaper and cost each of these connections 12 KiB while it is open (docs/decisions/014-memory.md). */
const ROOMY_CONNECTIONS = 300;
/** Refusals over TLS cost a handshake each: beyond this many at a time, or a quarter of the connections, one is simply dropped. */
const REFUSALS_AT_A_TIME = 64;
/** A refused program that does not read its refusal. */
const REFUSAL_MS = 5_000;

/**
 * Starts all listeners, or none.
 * @throws gateway.plain-beyond-loopback, gateway.port-taken, gateway.cannot-listen, gateway.certificate
 */
export async function startGateway(
  listeners: readonly ListenerConfig[],
  limits: Partial<GatewayLimits>,
  deps: GatewayDeps,
): Promise<Gateway> {
  const gateway = new Gateway({ ...defaultLimits, ...limits }, deps);
  try {
    for (const listener of listeners) await gateway.add(listener);
  } catch (error) {
    await gateway.drain();
    throw error;
  }
  return gateway;
}

export class Gateway {
  readonly #around: Surroundings;
  readonly #admission: Admission;
  readonly #servers: Server[] = [];
  /** Where it really listens, in the order of the configuration. */
  readonly addresses: (ListenerConfig & { readonly port: number })[] = [];
  /** Sessions by the plain socket of their program. */
  readonly #open = new Map<Socket, Session>();
  readonly #stops: { stop(): void }[] = [];
  readonly #closing = new AbortController();
  #refusals = 0;
  #emptied: (() => void) | undefined;
  #drained: Promise<void> | undefined;

  constructor(limits: GatewayLimits, deps: GatewayDeps) {
    const hostname = deps.hostname ?? machineName();
    const wall = deps.wall ?? deps.clock;
    const reusable = new ReusableSessions({
      clock: deps.clock,
      wall,
      log: deps.log,
      keepMs: limits.reuseMs,
      most: Math.ceil(limits.maxConnections / 2),
    });
    const upstream = new Upstream({
      tokens: deps.tokens,
      clock: deps.clock,
      wall,
      upstreamMs: limits.upstreamMs,
      ehloName: FULL_NAME.test(hostname) ? hostname : undefined,
      reusable,
      holders: (address) =>
        [...this.#open.values()].map((session) => session.holder(address)).filter((label) => label !== undefined),
    });
    const book = (protocol: 'smtp' | 'pop3'): ExtensionBook =>
      new ExtensionBook({
        protocol,
        clock: deps.clock,
        log: deps.log,
        probe: (endpoint) => upstream.probe(endpoint, protocol, this.#closing.signal),
        endpoints: deps.endpoints && (() => deps.endpoints!(protocol)),
      });
    this.#around = {
      deps,
      wall,
      limits,
      hostname,
      tls: this.#certificate(deps),
      handshakes: new HandshakeFailures({
        clock: deps.clock,
        log: deps.log,
        count: (protocol, reason) => deps.meter.handshakeFailed(protocol, reason),
      }),
      budget: deps.budget ?? new Budget({ clock: deps.clock }),
      rarely: new Rarely(deps.clock, MINUTE),
      upstream,
      reusable,
      roomy: () => this.#admission.open <= ROOMY_CONNECTIONS,
      books: { smtp: book('smtp'), pop3: book('pop3') },
    };
    this.#admission = new Admission(limits);
    this.#stops.push(
      deps.signIn.onRevoked((ids) => this.#cut(new Set(ids), 'revoked')),
      deps.signIn.onClosed((addresses) => {
        reusable.drop(addresses);
        this.#cut(new Set(addresses), 'closed');
      }),
    );
  }

  /** Sessions open now. */
  get sessions(): number {
    let count = 0;
    for (const session of this.#open.values()) if (session.relaying) count += 1;
    return count;
  }

  /** IMAP sessions at providers that wait for their mailbox's next program. */
  get resting(): number {
    return this.#around.reusable.size;
  }

  async add(config: ListenerConfig): Promise<void> {
    const server = await listen(
      config,
      (socket) =>
        guarded(
          (error) => this.#failedToServe(socket, config, error),
          () => this.#accept(socket, config),
        ),
      this.addresses,
    );
    server.on('error', (error) =>
      this.#around.deps.log.error(
        { protocol: config.protocol, error: error.message },
        'the listener failed to accept a connection',
      ),
    );
    this.#servers.push(server);
    this.addresses.push({ ...config, port: (server.address() as AddressInfo).port });
  }

  /** Stops accepting, lets sessions end for `limits.drainMs`, then closes them with the protocol's goodbye. */
  drain(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  async #drain(): Promise<void> {
    const { limits, wall } = this.#around;
    for (const { stop } of this.#stops) stop();
    this.#around.reusable.close();
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    const empty = new Promise<void>((resolve) => {
      this.#emptied = resolve;
      if (this.#open.size === 0) resolve();
    });
    const all = Promise.all([...closed, empty]);
    // Whoever has not signed in yet loses nothing by starting again elsewhere.
    for (const session of this.#open.values()) if (!session.relaying) session.end('shutdown');
    const resting = this.#endResting();
    await atMost(wall, limits.drainMs, all);
    resting.stop();
    for (const session of this.#open.values()) session.drop('shutdown');
    this.#closing.abort(upstreamError('gateway.provider-unreachable', 'the gateway is shutting down'));
    await atMost(wall, LAST_WORDS_MS, all);
    for (const socket of this.#open.keys()) socket.destroy();
    await all;
  }

  /** Ends sessions that have nothing under way, now and as soon as that is so: they lose nothing by starting again elsewhere. */
  #endResting(): { stop(): void } {
    const { clock } = this.#around.deps;
    const look = (): void => {
      timer = clock.after(REST_MS, look);
      for (const session of this.#open.values()) if (session.rests()) session.end('shutdown');
    };
    let timer = clock.after(0, look);
    return { stop: () => timer.cancel() };
  }

  #accept(socket: Socket, config: ListenerConfig): void {
    const { deps } = this.#around;
    const { protocol } = config;
    const address = plainAddress(socket.remoteAddress);
    // Its session is made when the place is there, so nobody can be told to leave before.
    const leave = (): void => this.#makesRoom(socket, protocol, address);
    const place = this.#admission.admit(address, protocol, leave);
    if (typeof place === 'string') {
      void this.#refuse(socket, config, address, place);
      return;
    }
    const session = new Session(this.#around, config, socket, place);
    this.#open.set(socket, session);
    deps.meter.connectionOpened(protocol);
    const fault = (error: unknown): void => this.#failedToServe(socket, config, error);
    socket.once('close', () => {
      this.#open.delete(socket);
      guarded(fault, () => {
        place.release();
        deps.meter.connectionClosed(protocol);
        session.closed();
      });
      if (this.#open.size === 0) this.#emptied?.();
    });
    session.run().catch(fault);
  }

  /** A defect where a connection is taken or let go. */
  #failedToServe(socket: Socket, { protocol }: ListenerConfig, error: unknown): void {
    socket.destroy();
    const failure = asError(error);
    this.#around.deps.log.error(
      { protocol, remoteAddress: plainAddress(socket.remoteAddress), code: failure.code, error: failure },
      'a defect ended this connection; others go on',
    );
  }

  /** It has waited longest to sign in, and another one came. */
  #makesRoom(socket: Socket, protocol: Protocol, remoteAddress: string): void {
    const { deps } = this.#around;
    deps.meter.refusedByLimit('waiting');
    const times = this.#around.rarely.due(`waiting ${clientOf(remoteAddress)}`);
    if (times !== undefined)
      deps.log.warn(
        { protocol, remoteAddress, limit: 'waiting', times },
        'too many connections from this address wait to sign in: the oldest makes room for the next',
      );
    this.#open.get(socket)?.makeRoom();
  }

  /** Says in the protocol's words that there is no room. Never rejects. */
  async #refuse(socket: Socket, config: ListenerConfig, address: string, limit: LimitReached): Promise<void> {
    const { deps, hostname, tls } = this.#around;
    deps.meter.refusedByLimit(limit);
    const times = this.#around.rarely.due(`${limit} ${clientOf(address)}`);
    if (times !== undefined)
      deps.log.warn(
        { protocol: config.protocol, remoteAddress: address, limit, times },
        'connection refused: too many connections',
      );
    if (this.#refusals >= Math.min(REFUSALS_AT_A_TIME, Math.ceil((1 + this.#around.limits.maxConnections) / 4))) {
      socket.destroy();
      return;
    }
    this.#refusals += 1;
    socket.once('close', () => (this.#refusals -= 1));
    try {
      const open = config.tls === 'implicit' ? await secureServer(socket, tls, { timeoutMs: REFUSAL_MS }) : socket;
      new Conn(open, { clock: this.#around.wall }).end(refusal(config.protocol, 'too-many-connections', hostname));
    } catch (error) {
      deps.log.debug({ remoteAddress: address, code: asError(error).code }, 'the refused connection broke');
      socket.destroy();
    }
  }

  #cut(names: ReadonlySet<string>, ending: 'revoked' | 'closed'): void {
    for (const session of this.#open.values()) if (session.uses(names)) session.end(ending);
  }

  /** The certificate in use, replaced when its source says so. One that does not load leaves the old one in use. */
  #certificate({ certificate, log }: GatewayDeps): ServerContext {
    let context: ServerContext;
    try {
      context = serverContext(certificate.read());
    } catch (error) {
      throw gatewayError('gateway.certificate', `the certificate cannot be used: ${asError(error).message}`, {
        cause: error,
      });
    }
    this.#stops.push(
      certificate.onChange(() => {
        try {
          context.replace(certificate.read());
          log.info({}, 'certificate replaced');
        } catch (error) {
          log.error(
            { code: 'gateway.certificate', error: asError(error).message },
            'the new certificate cannot be used, the old one stays',
          );
        }
      }),
    );
    return context;
  }
}

/** A name that may stand in EHLO: with a dot, no address (RFC 5321 §2.3.5). */
const FULL_NAME = /^(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$/i;
/** A program that works sends its next command sooner than this. */
const REST_MS = 250;
/** Goodbyes get this long to leave. */
const LAST_WORDS_MS = 5_000;
