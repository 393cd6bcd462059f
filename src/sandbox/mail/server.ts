/** Opens the tenant's IMAP, POP3 and SMTP ports. */
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { Certificates, openDoor, type Door } from '../door.ts';
import { FaultBoard } from '../faults/board.ts';
import { Ledger } from '../limits.ts';
import { LOOPBACK } from '../listen.ts';
import type { TokenCheck } from '../token.ts';
import { serveImap } from './imap-session.ts';
import { Line } from './line.ts';
import { servePop3 } from './pop3-session.ts';
import type { MailSite } from './site.ts';
import { serveSmtp } from './smtp-session.ts';
import type { MailStore } from './store.ts';

export interface MailServersOptions {
  readonly tokens: TokenCheck;
  readonly mail: MailStore;
  /** PEM texts, or certificates that faults may replace. */
  readonly tls: Certificates | { readonly cert: string; readonly key: string };
  /** As greetings name the server. */
  readonly hostname?: string;
  /** 0 or absent for any free port. */
  readonly ports?: Readonly<Partial<Record<'imap' | 'pop3' | 'smtp', number>>>;
  /** The tenant's time. */
  readonly clock: Clock;
  /** The time of connections: idle and handshake limits. The tenant's unless given. */
  readonly wall?: Clock;
  readonly faults?: FaultBoard;
  readonly ledger?: Ledger;
  readonly log: Log;
}

export interface MailEndpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: 'implicit' | 'starttls';
}

export interface MailServers {
  /** What Graph shares with them. */
  readonly site: MailSite;
  readonly endpoints: Readonly<Record<'imap' | 'pop3' | 'smtp', MailEndpoint>>;
  close(): Promise<void>;
}

const IDLE_MS = 30 * 60_000;

/** @throws sandbox.port-taken */
export async function startMailServers(options: MailServersOptions): Promise<MailServers> {
  const { log, ports = {}, wall = options.clock, faults = new FaultBoard() } = options;
  const certificates = options.tls instanceof Certificates ? options.tls : new Certificates(options.tls);
  const ledger = options.ledger ?? new Ledger(options.clock);
  const site: MailSite = { ...options, faults, ledger, hostname: options.hostname ?? 'outlook.contoso.test' };
  const doors: Door[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(doors.map((door) => door.close()));
  };

  const open = async (
    place: 'imap' | 'pop3' | 'smtp',
    tls: MailEndpoint['tls'],
    serve: (line: Line, site: MailSite) => Promise<void>,
  ): Promise<MailEndpoint> => {
    const door = await openDoor({
      place,
      port: ports[place] ?? 0,
      tls,
      certificates,
      faults,
      wall,
      log,
      async serve(visitor) {
        const line = new Line(visitor, faults, wall, { idleMs: IDLE_MS });
        try {
          await serve(line, site);
        } finally {
          line.end();
        }
      },
    });
    doors.push(door);
    return { host: 'localhost', port: door.port, tls };
  };
  try {
    const imap = await open('imap', 'implicit', serveImap);
    const pop3 = await open('pop3', 'implicit', servePop3);
    const smtp = await open('smtp', 'starttls', serveSmtp);
    log.debug({ host: LOOPBACK, imap: imap.port, pop3: pop3.port, smtp: smtp.port }, 'mail servers listen');
    return { site, endpoints: { imap, pop3, smtp }, close };
  } catch (error) {
    await close();
    throw error;
  }
}
