/** What every mail session of the sandbox gets. */
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { FaultBoard } from '../faults/board.ts';
import type { Ledger } from '../limits.ts';
import type { TokenCheck } from '../token.ts';
import type { MailStore } from './store.ts';

export interface MailSite {
  readonly tokens: TokenCheck;
  readonly mail: MailStore;
  readonly faults: FaultBoard;
  readonly ledger: Ledger;
  /** The tenant's time. */
  readonly clock: Clock;
  readonly log: Log;
  /** As greetings name this server. */
  readonly hostname: string;
}

/** Lines of SASL exchanges may be this long (RFC 4954 §4). */
export const LINE_OCTETS = 65_536;
