/** What the gateway needs from whoever composes it. */
import type { SignIn } from '../access/types.ts';
import type { Audit } from '../audit/types.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { TokenSource } from '../oauth/types.ts';
import type { Protocol } from '../store/types.ts';

export interface ListenerConfig {
  readonly protocol: Protocol;
  /** `none`: plain text and STARTTLS offered; only allowed on loopback. `starttls`: sign-in only after STARTTLS. `implicit`: TLS from the first byte. */
  readonly tls: 'none' | 'starttls' | 'implicit';
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
}

export interface GatewayLimits {
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  /** Milliseconds a client has to sign in. */
  readonly signInMs: number;
  /** Milliseconds of silence after sign-in (RFC 9051 §5.4: at least 30 minutes; RFC 1939 §3: at least 10). */
  readonly idleMs: number;
  /** Most octets of a literal before sign-in. */
  readonly literalOctets: number;
  /** Milliseconds that open sessions get to end by themselves on SIGTERM. */
  readonly drainMs: number;
}

export interface GatewayDeps {
  readonly signIn: SignIn;
  readonly tokens: TokenSource;
  readonly audit: Audit;
  readonly log: Log;
  readonly clock: Clock;
  readonly meter: GatewayMeter;
  /** PEM certificate chain and key for STARTTLS and implicit TLS; read again when `onChange` fires (hot reload). */
  readonly certificate: {
    read(): { readonly cert: string; readonly key: string };
    onChange(callback: () => void): { stop(): void };
  };
}

/** Counters the gateway feeds; the composition root shows them at `/metrics`. */
export interface GatewayMeter {
  connectionOpened(protocol: Protocol): void;
  connectionClosed(protocol: Protocol): void;
  signIn(protocol: Protocol, outcome: 'ok' | 'refused' | 'slowed' | 'failed', code: string, milliseconds: number): void;
  sessionEnded(protocol: Protocol, bytesToClient: number, bytesToServer: number): void;
  refusedByLimit(limit: string): void;
}

export interface Gateway {
  /** Where it really listens, in the order of the configuration. */
  readonly addresses: readonly (ListenerConfig & { readonly port: number })[];
  /** Sessions open now. */
  readonly sessions: number;
  /** Stops accepting, lets sessions end for `limits.drainMs`, then closes them with the protocol's goodbye. */
  drain(): Promise<void>;
}
