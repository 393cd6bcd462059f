/** A gateway on fakes: app passwords, tokens, audit and meter in memory, and a provider that speaks just enough. */
import { type Clock, systemClock } from '../../src/base/clock.ts';
import type { Log, LogFields } from '../../src/base/log.ts';
import { type Gateway, startGateway } from '../../src/gateway/start.ts';
import type { GatewayDeps, GatewayLimits, ListenerConfig } from '../../src/gateway/types.ts';
import { FakeAudit, FakeSignIn, FakeTokens } from './fake-access.ts';
import type { Certificates, FakeProvider } from './fake-provider.ts';
import { Client } from './line-client.ts';

export interface Bench {
  readonly gateway: Gateway;
  readonly tokens: FakeTokens;
  readonly signIn: FakeSignIn;
  readonly audit: FakeAudit;
  readonly log: { readonly level: string; readonly fields: LogFields; readonly message: string }[];
  readonly meter: {
    opened: number;
    closed: number;
    readonly signIns: string[];
    readonly limits: string[];
    readonly handshakes: string[];
    readonly moves: string[];
    reused: number;
    bytes: number;
  };
  /** Gives the gateway another certificate. */
  replaceCertificate(pair: { cert: string; key: string }): void;
  /** A client of listener number `index`, greeting unread. */
  client(index?: number): Promise<Client>;
  close(): Promise<void>;
}

export async function startBench(
  authority: Certificates,
  listeners: readonly Partial<ListenerConfig>[],
  providers: readonly Pick<FakeProvider, 'endpoint'>[],
  options: {
    readonly limits?: Partial<GatewayLimits>;
    readonly clock?: Clock;
    readonly deps?: Partial<GatewayDeps>;
  } = {},
): Promise<Bench> {
  const tokens = new FakeTokens();
  for (const { endpoint } of providers) tokens.endpoints[endpoint.protocol] = endpoint;
  const signIn = new FakeSignIn();
  const audit = new FakeAudit();
  const log: Bench['log'] = [];
  const meter: Bench['meter'] = {
    opened: 0,
    closed: 0,
    signIns: [],
    limits: [],
    handshakes: [],
    moves: [],
    reused: 0,
    bytes: 0,
  };
  let pair = await authority.issue();
  let changed: (() => void) | undefined;
  const write =
    (level: string) =>
    (fields: LogFields, message: string): void =>
      void log.push({ level, fields, message });
  const logging: Log = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => logging,
  };
  const gateway = await startGateway(
    listeners.map((listener) => ({ protocol: 'imap', tls: 'none', host: '127.0.0.1', port: 0, ...listener })),
    { drainMs: 200, ...options.limits },
    {
      signIn,
      tokens,
      audit,
      log: logging,
      clock: options.clock ?? systemClock,
      meter: {
        connectionOpened: () => void (meter.opened += 1),
        connectionClosed: () => void (meter.closed += 1),
        signIn: (protocol, outcome, code) => void meter.signIns.push(`${protocol} ${outcome} ${code}`),
        sessionEnded: (_protocol, down, up) => void (meter.bytes += down + up),
        sessionMoved: (cause) => void meter.moves.push(cause),
        sessionReused: () => void (meter.reused += 1),
        refusedByLimit: (limit) => void meter.limits.push(limit),
        handshakeFailed: (protocol, reason) => void meter.handshakes.push(`${protocol} ${reason}`),
      },
      certificate: {
        read: () => pair,
        onChange(callback) {
          changed = callback;
          return { stop: () => (changed = undefined) };
        },
      },
      hostname: 'gate.example',
      ...options.deps,
    },
  );
  const clients: Client[] = [];
  return {
    gateway,
    tokens,
    signIn,
    audit,
    log,
    meter,
    replaceCertificate(next) {
      pair = next;
      changed?.();
    },
    async client(index = 0) {
      const { port, tls } = gateway.addresses[index]!;
      const client = await Client.open(port, tls === 'implicit' ? authority.ca : undefined);
      clients.push(client);
      return client;
    },
    async close() {
      for (const client of clients) client.destroy();
      await gateway.drain();
    },
  };
}
