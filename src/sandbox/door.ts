/** One listening port of the tenant, with everything that can go wrong before a word is said. */
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { type Clock, systemClock } from '../base/clock.ts';
import { isError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import { type CertificateAuthority, createAuthority, issueCertificate } from '../protocol/tls/local-ca.ts';
import type { FaultBoard } from './faults/board.ts';
import type { Place } from './faults/types.ts';
import { listen, listenAgain } from './listen.ts';

export interface DoorOptions {
  readonly place: Place;
  /** 0 for any free port. */
  readonly port: number;
  readonly tls: 'implicit' | 'starttls';
  readonly certificates: Certificates;
  readonly faults: FaultBoard;
  /** The time of connections. */
  readonly wall: Clock;
  readonly log: Log;
  /** Serves one connection until its end. With implicit TLS the handshake is done. */
  serve(visitor: Visitor): Promise<void> | void;
}

export interface Visitor {
  readonly socket: Socket;
  /** The TCP connection under it: what can be reset. */
  readonly raw: Socket;
  /** The server's TLS handshake. */
  secure(plain: Socket): Promise<TLSSocket>;
}

export interface Door {
  readonly port: number;
  close(): Promise<void>;
}

const CONNECTIONS = 1000;
const HANDSHAKE_MS = 10_000;
/** RFC 8446 §6: a record of type alert, fatal, handshake_failure. */
const ALERT = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]);

/** @throws sandbox.port-taken */
export async function openDoor(options: DoorOptions): Promise<Door> {
  const { place, log } = options;
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    if (sockets.size >= CONNECTIONS) return void socket.destroy();
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', (error) => log.debug({ place, error: error.message }, 'connection broke'));
    welcome(options, socket).catch((error: unknown) => {
      if (!isError(error, 'wire.timeout') && !(error instanceof HandshakeError))
        log.warn({ place, error: String(error) }, 'session failed');
      socket.destroy();
    });
  });
  const port = await listen(server, options.port, place);
  const shutter = watchRefusal(server, port, options);
  return {
    port,
    async close() {
      await shutter.stop();
      const closed = closeServer(server);
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function welcome(options: DoorOptions, raw: Socket): Promise<void> {
  const { place, faults, tls, wall, certificates } = options;
  if (faults.bite('connection-dropped', { place })) return void raw.destroy();
  if (faults.bite('connection-silent', { place })) return void raw.resume();
  const secure = async (plain: Socket): Promise<TLSSocket> => {
    if (faults.bite('tls-failure', { place })) {
      // As servers do: the alert answers the client's first words. Sent before them it would follow STARTTLS in plain text.
      await new Promise<void>((resolve) => {
        plain.once('data', () => resolve()).once('close', () => resolve());
        plain.resume();
      });
      plain.end(ALERT);
      throw new HandshakeError('a fault ended the TLS handshake');
    }
    return handshake(plain, await certificates.choose(place, faults), wall);
  };
  await options.serve({ socket: tls === 'implicit' ? await secure(raw) : raw, raw, secure });
}

/** Closes the port while `connection-refused` is set for it. */
function watchRefusal(server: Server, port: number, options: DoorOptions): { stop(): Promise<void> } {
  const { faults, place, log } = options;
  let open = true;
  let work = Promise.resolve();
  const look = (): void => {
    const wanted = !faults.has('connection-refused', { place });
    if (wanted === open) return;
    open = wanted;
    work = work
      .then(() => (wanted ? listenAgain(server, port) : closeServer(server)))
      .catch((error: unknown) => log.error({ place, error: String(error) }, 'the port could not be opened again'));
  };
  const unwatch = faults.observe(look);
  look();
  return {
    stop: () => {
      unwatch();
      return work;
    },
  };
}

/** Stops listening; open connections go on. */
function closeServer(server: Server): Promise<void> {
  // Node resolves only when the last connection has gone; the port is free at once.
  if (server.listening) server.close();
  return Promise.resolve();
}

class HandshakeError extends Error {}

function handshake(plain: Socket, secureContext: SecureContext, clock: Clock): Promise<TLSSocket> {
  const secured = new TLSSocket(plain, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });
  return new Promise((resolve, reject) => {
    const timer = clock.after(HANDSHAKE_MS, () => secured.destroy(new Error('no TLS handshake in time')));
    const fail = (error?: Error): void => {
      timer.cancel();
      reject(new HandshakeError(error?.message ?? 'the connection was closed during the TLS handshake'));
    };
    secured.once('error', fail);
    secured.once('close', fail);
    secured.once('secure', () => {
      timer.cancel();
      secured.off('error', fail);
      secured.off('close', fail);
      secured.on('error', () => secured.destroy());
      resolve(secured);
    });
  });
}

/** The tenant's certificate, and the wrong ones, made when a fault first needs them. */
export class Certificates {
  readonly #right: SecureContext;
  readonly #authority: CertificateAuthority | undefined;
  readonly #wrong = new Map<string, Promise<SecureContext>>();

  /** @param authority what signs the wrong ones; without it the faults of certificates do not bite */
  constructor(right: { readonly cert: string; readonly key: string }, authority?: CertificateAuthority) {
    this.#right = contextOf(right.cert, right.key);
    this.#authority = authority;
  }

  async choose(place: Place, faults: FaultBoard): Promise<SecureContext> {
    const authority = this.#authority;
    if (!authority) return this.#right;
    // Whoever verifies them goes by the time of the machine.
    const now = systemClock.now();
    if (faults.bite('certificate-expired', { place }))
      return this.#make('expired', authority, { names: NAMES, days: 29, now: now - 30 * DAY });
    if (faults.bite('certificate-wrong-name', { place }))
      return this.#make('name', authority, { names: ['mail.fabrikam.test'], days: 30, now });
    if (faults.bite('certificate-untrusted', { place }))
      return this.#make('untrusted', createAuthority('Nobody trusts this', now), { names: NAMES, days: 30, now });
    return this.#right;
  }

  #make(
    what: string,
    authority: CertificateAuthority | Promise<CertificateAuthority>,
    options: Parameters<typeof issueCertificate>[1],
  ): Promise<SecureContext> {
    let context = this.#wrong.get(what);
    if (!context) {
      context = Promise.resolve(authority)
        .then((ca) => issueCertificate(ca, options))
        .then(({ certPem, keyPem }) => contextOf(certPem, keyPem));
      this.#wrong.set(what, context);
    }
    return context;
  }
}

/** Whom the tenant's certificate is for. */
export const NAMES: readonly string[] = ['localhost', '127.0.0.1', '::1'];
const DAY = 86_400_000;

function contextOf(cert: string, key: string): SecureContext {
  return createSecureContext({ cert, key, minVersion: 'TLSv1.2' });
}
