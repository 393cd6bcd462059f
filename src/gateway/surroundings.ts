import type { Clock } from '../base/clock.ts';
import type { Rarely } from '../base/rarely.ts';
import type { HandshakeFailures } from '../protocol/tls/handshake-failure.ts';
import type { ServerContext } from '../protocol/tls/server.ts';
import type { Budget } from '../protocol/wire/budget.ts';
import type { ExtensionBook } from './extension-book.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { ReusableSessions } from './reuse.ts';
import type { GatewayDeps, GatewayLimits } from './types.ts';

/** What all sessions of a gateway share. */
export interface Surroundings {
  readonly deps: GatewayDeps;
  /** The time of connections. */
  readonly wall: Clock;
  readonly limits: GatewayLimits;
  readonly hostname: string;
  readonly tls: ServerContext;
  readonly handshakes: HandshakeFailures;
  readonly budget: Budget;
  /** For what strangers can cause as often as they like. */
  readonly rarely: Rarely;
  readonly upstream: Upstream;
  readonly reusable: ReusableSessions;
  /** Whether there are so few connections that each may have large buffers. */
  readonly roomy: () => boolean;
  readonly books: Readonly<Record<'smtp' | 'pop3', ExtensionBook>>;
}
