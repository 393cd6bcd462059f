/** What the gateway needs from whoever composes it. */
import type { SignIn } from '../access/types.ts';
import type { Audit } from '../audit/types.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { MailEndpoint, TokenSource } from '../oauth/types.ts';
import type { HandshakeFailure } from '../protocol/tls/handshake-failure.ts';
import type { Budget } from '../protocol/wire/budget.ts';
import type { Protocol } from '../store/protocols.ts';
import type { SentCopies } from './continuity/sent-copy.ts';
import type { Submission } from './submission.ts';

export interface ListenerConfig {
  readonly protocol: Protocol;
  /** `none`: plain text and STARTTLS offered; only allowed on loopback. `starttls`: sign-in only after STARTTLS. `implicit`: TLS from the first byte. */
  readonly tls: 'none' | 'starttls' | 'implicit';
  /** A numeric address or `localhost`. */
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  /**
   * Several worker processes listen here side by side (SO_REUSEPORT; the kernel spreads connections). Such a port is not
   * reported as taken when another process of ours has it: claim it once without `shared` before starting workers.
   */
  readonly shared?: boolean;
  /** XOAUTH2 and OAUTHBEARER are offered too, with the app password as token. */
  readonly oauth?: boolean | undefined;
}

export interface GatewayLimits {
  /** Open connections of this process, all listeners together. */
  readonly maxConnections: number;
  /** Open connections of this process from one address (IPv6: from one /64). */
  readonly maxConnectionsPerAddress: number;
  /** Open connections that have not signed in, from one address for one protocol: the oldest makes room for the next. */
  readonly maxWaitingPerAddress: number;
  /** Milliseconds a client has to sign in, however it spreads its bytes. The provider's part is not counted. */
  readonly signInMs: number;
  /** Milliseconds the provider has to accept the sign-in, renewal of the token included. */
  readonly upstreamMs: number;
  /** Milliseconds of silence after sign-in (RFC 9051 §5.4: at least 30 minutes; RFC 1939 §3: at least 10; RFC 5321 §4.5.3.2.7: 5). */
  readonly idleMs: Readonly<Record<Protocol, number>>;
  /** Most octets of a line before sign-in. RFC 4954 §4 wants 12,288 for the answers in AUTH. */
  readonly lineOctets: number;
  /** Most octets of a literal before sign-in. */
  readonly literalOctets: number;
  /** Failed sign-ins on one connection before it is closed. */
  readonly maxFailures: number;
  /** Milliseconds an IMAP session at the provider is kept for the mailbox's next program after its own has said LOGOUT; 0: not at all. */
  readonly reuseMs: number;
  /** Milliseconds that open sessions get to end by themselves on SIGTERM. */
  readonly drainMs: number;
}

export interface GatewayDeps {
  readonly signIn: SignIn;
  readonly tokens: TokenSource;
  readonly audit: Audit;
  readonly log: Log;
  readonly clock: Clock;
  /** The time of connections: idle limits, time to sign in, sessions that rest. The same as `clock` unless that one can be moved. */
  readonly wall?: Clock;
  readonly meter: GatewayMeter;
  /** PEM certificate chain and key for STARTTLS and implicit TLS; read again when `onChange` fires (hot reload). */
  readonly certificate: {
    read(): { readonly cert: string; readonly key: string };
    onChange(callback: () => void): { stop(): void };
  };
  /**
   * Every provider endpoint that mailboxes use for this protocol, so that EHLO and CAPA can announce before sign-in what all
   * of them can. Without it only endpoints that were signed in to before are known.
   */
  endpoints?(protocol: Protocol): Promise<readonly MailEndpoint[]>;
  /** Takes mail for the outbox; without it all mail is relayed. */
  readonly submission?: Submission;
  /** What mailboxes have sent, for app passwords with which a program's own copy is left out; without it none is. */
  readonly sentCopies?: SentCopies;
  /** Octets that may be held for peers, shared with whatever else of this process talks to some. Default: one of its own. */
  readonly budget?: Budget;
  /** The name in greetings, and towards providers when it is a full domain name. Default: the machine's. */
  readonly hostname?: string;
}

/** Counters the gateway feeds; the composition root shows them at `/metrics`. */
export interface GatewayMeter {
  connectionOpened(protocol: Protocol): void;
  connectionClosed(protocol: Protocol): void;
  /** One attempt of a client: `code` is `ok` or the code of the error, `milliseconds` the whole attempt. */
  signIn(protocol: Protocol, outcome: 'ok' | 'refused' | 'slowed' | 'failed', code: string, milliseconds: number): void;
  sessionEnded(protocol: Protocol, bytesToClient: number, bytesToServer: number): void;
  /** A session goes on at the provider in a new connection, because its token was ending or the server had gone. */
  sessionMoved(cause: 'token-ends' | 'server-gone'): void;
  /** A program goes on in a session at the provider that another one has left. */
  sessionReused(): void;
  refusedByLimit(limit: string): void;
  /** A program's TLS handshake failed. */
  handshakeFailed(protocol: string, reason: HandshakeFailure): void;
}
