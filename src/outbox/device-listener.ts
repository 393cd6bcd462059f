/** The lane for printers, scanners and alarms that cannot sign in: their network is their proof. Off unless configured. */
import { foldCase } from '../base/case.ts';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import { listenFailure, type Listening } from '../base/listen-failure.ts';
import type { Log } from '../base/log.ts';
import { secureServer, type ServerContext } from '../protocol/tls/server.ts';
import { type HandshakeFailure, HandshakeFailures } from '../protocol/tls/handshake-failure.ts';
import type { Budget } from '../protocol/wire/budget.ts';
import { Conn } from '../protocol/wire/conn.ts';
import { newId } from '../store/id.ts';
import type { Mailbox, Store } from '../store/types.ts';
import { greetDevice } from './device-greeting.ts';
import { DevicePlaces, type Holder } from './device-places.ts';
import { busyReply, DeviceRefusals } from './device-refusal.ts';
import { type DeviceRule, ruleFor, spend } from './device-rule.ts';
import type { Audit } from '../audit/types.ts';
import { outboxError } from './errors.ts';
import { serveSubmission } from './submission.ts';
import type { Outbox } from './types.ts';

export interface DeviceListenerDeps {
  readonly outbox: Outbox;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** Our name in replies. */
  readonly hostname: string;
  /** The gateway’s certificate. */
  readonly tls: ServerContext;
  readonly budget?: Budget;
  /** Where each session leaves its record. */
  readonly audit?: Pick<Audit, 'note'>;
  /** Counts failed handshakes. */
  handshakeFailed?(protocol: string, reason: HandshakeFailure): void;
}

export interface DeviceListenerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** `none`: plain text and STARTTLS offered; `starttls`: nothing is taken before it; `implicit`: TLS from the first byte; `plain`: none. */
  readonly tls: 'none' | 'starttls' | 'implicit' | 'plain';
  readonly rules: readonly DeviceRule[];
  /** What else this process listens on: a port that one of these has is nobody else’s. */
  readonly beside?: readonly Listening[];
  /** Fewer than {@link MAX_DEVICE_CONNECTIONS} where few files may be open. */
  readonly maxConnections?: number;
}

export interface DeviceListener {
  readonly port: number;
  /** Takes no new connections, and ends those that have no message under way, now or as soon as that is so. Resolves with the last. */
  ease(): Promise<void>;
  /** Ends what is under way; a message that is not acknowledged yet comes again. */
  close(): Promise<void>;
}

/** Devices are few; more at once than this is something else. */
export const MAX_DEVICE_CONNECTIONS = 100;
/** Milliseconds (RFC 5321 §4.5.3.2.7). */
const IDLE_MS = 5 * 60_000;
/** Handshakes with something that does not speak TLS end after this. */
const HANDSHAKE_MS = 15_000;
/** Octets of a command line, as after it. */
const LINE_OCTETS = 4096;

/** What a device that begins in plain text is told of it. */
const STARTTLS = { none: 'offered', starttls: 'required', implicit: 'offered', plain: 'never' } as const;

/** @throws outbox.device-port */
export async function startDeviceListener(
  deps: DeviceListenerDeps,
  { host, port, rules, tls, beside, maxConnections = MAX_DEVICE_CONNECTIONS }: DeviceListenerOptions,
): Promise<DeviceListener> {
  const { log } = deps;
  const sessions = new Map<Promise<void>, Ending>();
  let easing = false;
  const sockets = new Set<Socket>();
  const places = new DevicePlaces(maxConnections);
  const handshakes = new HandshakeFailures({
    clock: deps.clock,
    log,
    count: deps.handshakeFailed ?? (() => undefined),
  });
  const refusals = new DeviceRefusals(deps);
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
    const address = socket.remoteAddress ?? 'unknown';
    const rule = ruleFor(rules, address);
    const ending = new Ending();
    if (rule === undefined || !places.take(socket, address, ending)) {
      refusals.turnAway(socket, rule?.name, tls !== 'implicit');
      return;
    }
    const underWay = (is: boolean): void => {
      ending.busy = is;
      if (easing && !is) ending.end();
    };
    const visit = {
      socket,
      rule,
      tls,
      handshakes,
      signal: ending.stop.signal,
      farewell: () => ending.farewell,
      underWay,
    };
    const session = serveDevice(deps, visit).finally(() => sessions.delete(session));
    sessions.set(session, ending);
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    const failed = (cause: Error): void => {
      const { why, hint } = listenFailure(cause, { host, port, what: 'devices' }, beside);
      reject(
        outboxError('outbox.device-port', `cannot listen for devices on ${host} port ${port}: ${why}`, {
          detail: { host, port },
          cause,
          ...(hint === undefined ? {} : { hint }),
        }),
      );
    };
    server.once('error', failed);
    server.listen({ host, port }, () => {
      server.off('error', failed);
      resolve();
    });
  });
  server.on('error', (error) => log.error({ error: error.message }, 'the listener for devices failed'));
  const bound = (server.address() as AddressInfo).port;
  for (const { mailbox, name, networks, perHour, sender = mailbox } of rules)
    log.warn({ rule: name, networks, sender, perHour, host, port: bound, tls }, 'devices may send without signing in');
  let closed: Promise<void> | undefined;
  const ease = async (): Promise<void> => {
    easing = true;
    closed ??= new Promise<void>((resolve) => server.close(() => resolve()));
    for (const ending of sessions.values()) if (!ending.busy) ending.end();
    await Promise.all(sessions.keys());
  };
  return {
    port: bound,
    ease,
    async close() {
      const last = ease();
      for (const ending of sessions.values()) ending.end();
      await last;
      // Who does not close its side would keep us waiting.
      for (const socket of sockets) socket.destroySoon();
      refusals.close();
      await closed;
    },
  };
}

class Ending implements Holder {
  readonly stop = new AbortController();
  busy = false;
  /** What its device is told. */
  farewell: Farewell = CLOSING;

  end(farewell = CLOSING): void {
    if (this.stop.signal.aborted) return;
    this.farewell = farewell;
    this.stop.abort(outboxError('outbox.device-port', `the listener for devices ${farewell.words}`));
  }

  makeRoom(): void {
    this.end(CROWDED);
  }
}

interface Farewell {
  readonly code: string;
  /** After the name of the host. */
  readonly words: string;
}
const CLOSING: Farewell = { code: '421 4.3.2', words: 'is shutting down' };
const CROWDED: Farewell = { code: '421 4.3.0', words: 'needs this place for another device' };

interface Visit extends Pick<DeviceListenerOptions, 'tls'> {
  readonly socket: Socket;
  /** Its address falls under it. */
  readonly rule: DeviceRule;
  readonly handshakes: HandshakeFailures;
  readonly signal: AbortSignal;
  /** To be said once `signal` is aborted. */
  readonly farewell: () => Farewell;
  readonly underWay: (is: boolean) => void;
}

/** One connection. Never rejects. */
async function serveDevice(
  { outbox, store, clock, log, hostname, tls: context, budget, audit }: DeviceListenerDeps,
  { socket, rule, handshakes, signal, tls, farewell, underWay }: Visit,
): Promise<void> {
  // Devices come to hand in mail, and do not stay.
  const secure = async (plain: Socket): Promise<TLSSocket> => {
    try {
      return await secureServer(plain, context, { timeoutMs: HANDSHAKE_MS, roomy: true });
    } catch (error) {
      handshakes.note('device', remoteAddress, asError(error));
      throw error;
    }
  };
  const sessionId = newId('ses');
  const remoteAddress = socket.remoteAddress ?? 'unknown';
  const facts = { sessionId, protocol: 'smtp', remoteAddress, rule: rule.name };
  const note = (
    outcome: 'ok' | 'failed',
    mailbox: string | undefined,
    data: Readonly<Record<string, unknown>>,
  ): void => {
    const { sessionId: _, ...known } = facts;
    const about = mailbox === undefined ? {} : { mailbox };
    audit?.note({ type: 'session.ended', outcome, sessionId, ...about, data: { ...known, source: 'device', ...data } });
  };
  const turnedAway = busyReply(hostname);
  let conn: Conn | undefined;
  let followed: FollowedMailbox | undefined;
  try {
    conn = new Conn(tls === 'implicit' ? await secure(socket) : socket, {
      clock,
      ...(budget && { account: budget.account(remoteAddress) }),
    });
    conn.setIdle(IDLE_MS);
    const found = await followMailbox(store, foldCase(rule.mailbox), log, () => conn?.end(turnedAway));
    followed = found;
    const mailbox = found.mailbox();
    if (mailbox === undefined) {
      const why = `there is no mailbox ${rule.mailbox}`;
      const hint = `correct the mailbox of rule ${rule.name} in postern.yaml, or add it: postern mailbox list`;
      log.warn({ ...facts, hint }, `a device was turned away: ${why}`);
      note('failed', foldCase(rule.mailbox), { reason: why });
      conn.end(turnedAway);
      return;
    }
    const greeting = { hostname, secure, signal, maxOctets: outbox.maxOctets, lineOctets: LINE_OCTETS };
    if ((await greetDevice(conn, { ...greeting, startTls: STARTTLS[tls] })) === 'left') return;
    const { octets } = await serveSubmission(
      { outbox, log },
      conn,
      {
        mailbox: () => found.mailbox() ?? mailbox,
        principal: `device ${rule.name}`,
        source: 'device',
        onlySender: rule.sender ?? mailbox.address,
        hostname,
        sessionId,
        remoteAddress,
        admit: (recipients) => spend({ store, clock }, rule, recipients),
        underWay,
      },
      signal,
    );
    conn.end();
    note('ok', mailbox.address, { bytesToServer: octets, reason: 'client-closed' });
  } catch (error) {
    const { code, detail } = asError(error);
    const { reason: handshakeFailure, offered } = code === 'tls.program' ? detail : {};
    note(signal.aborted || code === 'wire.closed' ? 'ok' : 'failed', foldCase(rule.mailbox), {
      code,
      ...(handshakeFailure === undefined ? {} : { handshakeFailure }),
      ...(offered === undefined ? {} : { offered }),
    });
    if (signal.aborted) conn?.end(`${farewell().code} ${hostname} ${farewell().words}\r\n`);
    else if (asError(error).kind === 'later' && !/^(?:wire|tls)\./.test(asError(error).code))
      conn?.end(`421 4.3.0 ${hostname} cannot take mail from devices now, try again later\r\n`);
    else conn?.end();
    const failure = asError(error);
    if (failure.kind === 'bug') log.error({ ...facts, error: failure }, 'a defect ended this connection; others go on');
    else log.debug({ ...facts, code: failure.code }, 'a device’s connection ended early');
  } finally {
    followed?.stop();
  }
}

interface FollowedMailbox {
  /** As it is set up now; undefined once it is removed. */
  mailbox(): Mailbox | undefined;
  stop(): void;
}

/** @param removed is called when the mailbox is removed @throws store.unavailable */
async function followMailbox(store: Store, address: string, log: Log, removed: () => void): Promise<FollowedMailbox> {
  let mailbox: Mailbox | undefined;
  const read = async (): Promise<void> => {
    const before = mailbox;
    mailbox = await store.mailboxes.opened(address);
    if (before !== undefined && mailbox === undefined) removed();
  };
  const watch = store.watch('mailboxes', () => {
    read().catch((error: unknown) => {
      log.warn({ mailbox: address, code: asError(error).code }, 'a change of a device’s mailbox could not be read');
    });
  });
  try {
    await read();
  } catch (error) {
    watch.stop();
    throw error;
  }
  return { mailbox: () => mailbox, stop: () => watch.stop() };
}
