/** Opens the tenant's IMAP, POP3 and SMTP ports. */
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { isError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import { Conn } from '../../protocol/wire/conn.ts';
import { FaultBoard } from '../faults/board.ts';
import { listen, LOOPBACK } from '../listen.ts';
import type { TokenCheck } from '../token.ts';
import { serveImap } from './imap-session.ts';
import { servePop3 } from './pop3-session.ts';
import type { MailSite } from './site.ts';
import { serveSmtp } from './smtp-session.ts';
import type { MailStore } from './store.ts';

export interface MailServersOptions {
  readonly tokens: TokenCheck;
  readonly mail: MailStore;
  /** PEM texts. */
  readonly tls: { readonly cert: string; readonly key: string };
  /** As greetings name the server. */
  readonly hostname?: string;
  /** 0 or absent for any free port. */
  readonly ports?: Readonly<Partial<Record<'imap' | 'pop3' | 'smtp', number>>>;
  /** The tenant's time. */
  readonly clock: Clock;
  /** The time of connections: idle and handshake limits. The tenant's unless given. */
  readonly wall?: Clock;
  readonly faults?: FaultBoard;
  readonly log: Log;
}

export interface MailEndpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: 'implicit' | 'starttls';
}

export interface MailServers {
  readonly endpoints: Readonly<Record<'imap' | 'pop3' | 'smtp', MailEndpoint>>;
  close(): Promise<void>;
}

const CONNECTIONS = 1000;
const HANDSHAKE_MS = 10_000;
const IDLE_MS = 30 * 60_000;

/** @throws sandbox.port-taken */
export async function startMailServers(options: MailServersOptions): Promise<MailServers> {
  const { log } = options;
  const clock = options.wall ?? options.clock;
  const secureContext = createSecureContext({ ...options.tls, minVersion: 'TLSv1.2' });
  const secure = (plain: Socket): Promise<TLSSocket> => handshake(plain, secureContext, clock);
  const service: MailSite = {
    ...options,
    faults: options.faults ?? new FaultBoard(),
    hostname: options.hostname ?? 'outlook.contoso.test',
    secure,
  };
  const sockets = new Set<Socket>();
  const servers: Server[] = [];

  const open = async (
    what: 'imap' | 'pop3' | 'smtp',
    tls: MailEndpoint['tls'],
    serve: (conn: Conn, service: MailSite) => Promise<void>,
  ): Promise<MailEndpoint> => {
    const server = createServer((socket) => {
      if (sockets.size >= CONNECTIONS) {
        socket.destroy();
        return;
      }
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.on('error', (error) => log.debug({ protocol: what, error: error.message }, 'connection broke'));
      void (async () => {
        const conn = new Conn(tls === 'implicit' ? await secure(socket) : socket, { clock, idleMs: IDLE_MS });
        try {
          await serve(conn, service);
        } finally {
          conn.end();
        }
      })().catch((error: unknown) => {
        if (!isError(error, 'wire.timeout')) log.warn({ protocol: what, error: String(error) }, 'session failed');
        socket.destroy();
      });
    });
    servers.push(server);
    return { host: 'localhost', port: await listen(server, options.ports?.[what] ?? 0, what), tls };
  };

  const close = async (): Promise<void> => {
    const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const socket of sockets) socket.destroy();
    await Promise.all(closed);
  };
  try {
    const imap = await open('imap', 'implicit', serveImap);
    const pop3 = await open('pop3', 'implicit', servePop3);
    const smtp = await open('smtp', 'starttls', serveSmtp);
    log.debug({ host: LOOPBACK, imap: imap.port, pop3: pop3.port, smtp: smtp.port }, 'mail servers listen');
    return { endpoints: { imap, pop3, smtp }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function handshake(
  plain: Socket,
  secureContext: ReturnType<typeof createSecureContext>,
  clock: Clock,
): Promise<TLSSocket> {
  const secured = new TLSSocket(plain, { isServer: true, secureContext });
  return new Promise((resolve, reject) => {
    const timer = clock.after(HANDSHAKE_MS, () => secured.destroy(new Error('no TLS handshake in time')));
    const fail = (error?: Error): void => {
      timer.cancel();
      reject(error ?? new Error('the connection was closed during the TLS handshake'));
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
