import type { ServerContext } from '../protocol/tls/server.ts';
import type { ExtensionBook } from './extension-book.ts';
import type { Provider } from './provider.ts';
import type { ReusableSessions } from './reuse.ts';
import type { GatewayDeps, GatewayLimits } from './types.ts';
import type { Uploaders } from './uploaders.ts';

/** What all sessions of a gateway share. */
export interface Surroundings {
  readonly deps: GatewayDeps;
  readonly limits: GatewayLimits;
  readonly hostname: string;
  readonly tls: ServerContext;
  readonly provider: Provider;
  readonly reusable: ReusableSessions;
  readonly uploaders: Uploaders;
  readonly books: Readonly<Record<'smtp' | 'pop3', ExtensionBook>>;
}
