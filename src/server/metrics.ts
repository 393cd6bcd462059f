/** What `/metrics` shows, in Prometheus names and units, and the gateway's meter that feeds it. */
import { AggregatorRegistry, collectDefaultMetrics, Counter, Registry } from 'prom-client';
import type { GatewayMeter } from '../gateway/types.ts';
import type { OAuthEvent } from '../oauth/events.ts';
import { metricsIn } from './metric.ts';

export interface Metrics {
  readonly registry: Registry;
  readonly meter: GatewayMeter;
  /** Counts token requests and grant changes. */
  event(event: OAuthEvent): void;
}

export function openMetrics(version: string): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const { counter, gauge, histogram } = metricsIn(registry);
  gauge('postern_build_info', 'Version of Postern.', { labelNames: ['version'], aggregator: 'first' }).set(
    { version },
    1,
  );
  const connections = gauge('postern_connections_open', 'Connections of mail programs open now.', {
    labelNames: ['protocol'],
  });
  const signIns = counter(
    'postern_sign_ins_total',
    'Sign-in attempts of mail programs by outcome and error code.',
    'protocol',
    'outcome',
    'code',
  );
  const seconds = histogram(
    'postern_sign_in_seconds',
    'Time from credentials to answer, the sign-in at the provider included.',
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    'protocol',
    'outcome',
  );
  const sessions = counter('postern_sessions_total', 'Sessions that were signed in and have ended.', 'protocol');
  const moves = counter(
    'postern_sessions_moved_total',
    'Sessions that went on in a new connection at the provider.',
    'cause',
  );
  const reuses = counter(
    'postern_sessions_reused_total',
    'Sign-ins that went on in a session at the provider that another program had left.',
  );
  const bytes = counter('postern_relayed_bytes_total', 'Octets passed in ended sessions.', 'protocol', 'direction');
  const limits = counter('postern_limit_refusals_total', 'Connections refused by a limit.', 'limit');
  const handshakes = counter(
    'postern_tls_handshakes_failed_total',
    'TLS handshakes of mail programs and devices that failed: old-version, no-common-cipher, certificate-refused, not-tls, left, other.',
    'protocol',
    'reason',
  );
  const tokens = counter('postern_token_requests_total', 'Requests to token endpoints.', 'flow', 'purpose', 'outcome');
  const grants = counter('postern_grant_changes_total', 'Grants that changed their state.', 'to');
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
