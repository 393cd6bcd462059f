/** Sessions whose mail is taken for the outbox instead of being relayed. */
import { asError } from '../base/error.ts';
import type { Conn } from '../protocol/wire/conn.ts';
import type { Mailbox } from '../store/types.ts';
import type { AppPassword } from '../store/types-access.ts';
import { gatewayError } from './errors.ts';
import type { RelayEnd } from './relay-types.ts';

export interface SubmissionSession {
  /** As it is set up now: what it may send as can change while a program stays. */
  mailbox(): Mailbox;
  readonly appPassword: AppPassword;
  /** Our name in replies. */
  readonly hostname: string;
  readonly sessionId: string;
  readonly remoteAddress: string;
  /** Told when a message begins and when it is answered. */
  underWay?(is: boolean): void;
}

/** Whoever takes mail; composed by the server room, because the gateway does not know the outbox. */
export interface Submission {
  /** Whether mail of this mailbox, handed over with this app password, goes to the outbox. */
  takes(mailbox: Mailbox, appPassword: AppPassword): boolean;
  /** EHLO lines it honours, and whether nobody's mail goes any other way; undefined when nobody's mail goes this way. */
  extensions(): Promise<{ readonly lines: readonly string[]; readonly exclusive: boolean } | undefined>;
  /** Serves until the program leaves; octets of mail taken. @throws wire.*, the signal's reason */
  serve(conn: Conn, session: SubmissionSession, signal: AbortSignal): Promise<{ readonly octets: number }>;
}

export interface RunningSubmission {
  /** No message is under way. */
  rests(): boolean;
  /** Never rejects. */
  readonly end: Promise<RelayEnd>;
  /** Ends it from outside, with a last line; a message that is being taken is not. */
  cut(goodbye?: string): void;
}

export function submit(conn: Conn, submission: Submission, session: SubmissionSession): RunningSubmission {
  const stop = new AbortController();
  let last: string | undefined;
  let busy = false;
  const underWay = (is: boolean): void => void (busy = is);
  const serve = async (): Promise<RelayEnd> => {
    try {
      const { octets } = await submission.serve(conn, { ...session, underWay }, stop.signal);
      conn.end();
      return { bytesToClient: 0, bytesToServer: octets, reason: 'client-closed' };
    } catch (error) {
      if (stop.signal.aborted) conn.end(last);
      else conn.end();
      const gone = asError(error).code === 'wire.closed';
      return {
        bytesToClient: 0,
        bytesToServer: 0,
        reason: stop.signal.aborted ? 'cut' : gone ? 'client-closed' : 'error',
      };
    }
  };
  return {
    end: serve(),
    rests: () => !busy,
    cut(goodbye) {
      last = goodbye;
      stop.abort(gatewayError('gateway.ended', 'the session was ended'));
    },
  };
}
