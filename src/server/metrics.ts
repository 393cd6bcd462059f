/** What `/metrics` shows, in Prometheus names and units, and the gateway's meter that feeds it. */
import { AggregatorRegistry, collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { GatewayMeter } from '../gateway/types.ts';
import type { OAuthEvent } from '../oauth/events.ts';

export interface Metrics {
  readonly registry: Registry;
  readonly meter: GatewayMeter;
  /** Counts token requests and grant changes. */
  event(event: OAuthEvent): void;
}

export function openMetrics(version: string): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'postern_build_info',
    help: 'Version of Postern.',
    labelNames: ['version'],
    registers,
    aggregator: 'first',
  }).set({ version }, 1);
  const connections = new Gauge({
    name: 'postern_connections_open',
    help: 'Connections of mail programs open now.',
    labelNames: ['protocol'],
    registers,
  });
  const signIns = new Counter({
    name: 'postern_sign_ins_total',
    help: 'Sign-in attempts of mail programs by outcome and error code.',
    labelNames: ['protocol', 'outcome', 'code'],
    registers,
  });
  const seconds = new Histogram({
    name: 'postern_sign_in_seconds',
    help: 'Time from credentials to answer, the sign-in at the provider included.',
    labelNames: ['protocol', 'outcome'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const sessions = new Counter({
    name: 'postern_sessions_total',
    help: 'Sessions that were signed in and have ended.',
    labelNames: ['protocol'],
    registers,
  });
  const moves = new Counter({
    name: 'postern_sessions_moved_total',
    help: 'Sessions that went on in a new connection at the provider.',
    labelNames: ['cause'],
    registers,
  });
  const reuses = new Counter({
    name: 'postern_sessions_reused_total',
    help: 'Sign-ins that went on in a session at the provider that another program had left.',
    registers,
  });
  const bytes = new Counter({
    name: 'postern_relayed_bytes_total',
    help: 'Octets passed in ended sessions.',
    labelNames: ['protocol', 'direction'],
    registers,
  });
  const limits = new Counter({
    name: 'postern_limit_refusals_total',
    help: 'Connections refused by a limit.',
    labelNames: ['limit'],
    registers,
  });
  const handshakes = new Counter({
    name: 'postern_tls_handshakes_failed_total',
    help: 'TLS handshakes of mail programs and devices that failed: old-version, no-common-cipher, certificate-refused, not-tls, left, other.',
    labelNames: ['protocol', 'reason'],
    registers,
  });
  const tokens = new Counter({
    name: 'postern_token_requests_total',
    help: 'Requests to token endpoints.',
    labelNames: ['flow', 'purpose', 'outcome'],
    registers,
  });
  const grants = new Counter({
    name: 'postern_grant_changes_total',
    help: 'Grants that changed their state.',
    labelNames: ['to'],
    registers,
  });
  return {
    registry,
    meter: {
      connectionOpened: (protocol) => connections.inc({ protocol }),
      connectionClosed: (protocol) => connections.dec({ protocol }),
      signIn(protocol, outcome, code, milliseconds) {
        signIns.inc({ protocol, outcome, code });
        seconds.observe({ protocol, outcome }, milliseconds / 1000);
      },
      sessionEnded(protocol, bytesToClient, bytesToServer) {
        sessions.inc({ protocol });
        bytes.inc({ protocol, direction: 'to_client' }, bytesToClient);
        bytes.inc({ protocol, direction: 'to_server' }, bytesToServer);
      },
      sessionMoved: (cause) => moves.inc({ cause }),
      sessionReused: () => reuses.inc(),
      refusedByLimit: (limit) => limits.inc({ limit }),
      handshakeFailed: (protocol, reason) => handshakes.inc({ protocol, reason }),
    },
    event(event) {
      if (event.type === 'token.requested')
        tokens.inc({ flow: event.flow, purpose: event.purpose, outcome: event.outcome });
      else if (event.type === 'grant.changed') grants.inc({ to: event.to });
    },
  };
}

/** @param lines how many log lines this process has lost so far */
export function countLostLines(registry: Registry, lines: () => number): void {
  const lost = new Counter({
    name: 'postern_log_lines_lost_total',
    help: 'Log lines that could not be written: the disk of the log is full, or whoever reads it is gone or does not read.',
    registers: [],
    collect() {
      this.reset();
      this.inc(lines());
    },
  });
  registry.registerMetric(lost);
}

/** What a registry gives as JSON. */
export type MetricValues = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

/** Metrics of several processes added up. @param perProcess what each one's registry gave as JSON */
export function addUp(perProcess: readonly MetricValues[]): Promise<string> {
  return aggregated(perProcess).metrics();
}

/**
 * What processes that have ended had counted, so that a counter never falls: a fall reads as a restart, and rates count twice.
 * Gauges end with their process.
 */
export class EndedCounts {
  #values: MetricValues | undefined;

  get values(): MetricValues | undefined {
    return this.#values;
  }

  async add(values: MetricValues): Promise<void> {
    const counted = values.filter(({ type }) => COUNTS.has(String(type)));
    this.#values = await aggregated(
      this.#values === undefined ? [counted] : [this.#values, counted],
    ).getMetricsAsJSON();
  }
}

const COUNTS: ReadonlySet<string> = new Set(['counter', 'histogram']);

function aggregated(values: readonly MetricValues[]): Registry {
  return AggregatorRegistry.aggregate(values as MetricValues[]);
}
