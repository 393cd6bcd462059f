/** What keeps a relayed session, and what it is told. */
import type { Clock } from '../../base/clock.ts';
import type { Fault } from '../../base/guard.ts';
import type { Log } from '../../base/log.ts';
import type { UpstreamConnection, UpstreamSession } from '../../upstream/upstream.ts';
import type { Tap } from '../relay-types.ts';
import type { Returned } from '../reuse.ts';
import type { OwnCopy, SentCopies } from './sent-copy.ts';
import type { RelayedMessage, SmtpRules } from './smtp-message.ts';

export type Cause = 'token-ends' | 'server-gone';

export interface KeeperOptions {
  readonly clock: Clock;
  /** The time of connections, when it is another. */
  readonly wall?: Clock;
  readonly log: Log;
  /** Told what was thrown where nobody waits for it; ends the session. */
  readonly fault?: Fault;
  /** Our name in last lines of SMTP. */
  readonly hostname: string;
  /** The first session at the provider. */
  readonly signedIn: UpstreamSession;
  /** Signs in at the provider again. @param after when set: with a token that lives longer than this, or not at all */
  signIn(after: number | undefined, signal: AbortSignal): Promise<UpstreamConnection | 'not-renewed'>;
  /** Of SMTP: from whom mail may be, and who is told of what was relayed. */
  readonly mail?: SmtpRules;
  onMessage?(message: RelayedMessage): void;
  /** Whether a session that its client leaves is wanted for another client, and where it goes then. */
  wantsBack?(signedIn: UpstreamSession, selected: boolean): boolean;
  onReturned?(session: Returned): void;
  /** Of IMAP: what the provider keeps of what was sent; copies of that which the program stores too are left out. */
  readonly keepsCopy?: (copy: OwnCopy) => ReturnType<SentCopies['keeps']>;
  /** A successor took over after so many milliseconds. */
  onMoved(cause: Cause, connection: UpstreamConnection, milliseconds: number): void;
  /** An IMAP session that lives shorter than this counts as one the provider does not want; 10 s. */
  readonly shortLifeMs?: number;
}

export interface SessionKeeper extends Tap {
  /** The last line, when it can be said without cutting an answer in two. */
  goodbye(text: string | undefined): string | undefined;
  /** The session is over. */
  close(): void;
}
