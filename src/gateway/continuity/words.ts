/** What an IMAP client, and the log, are told by us. */
import type { Log } from '../../base/log.ts';
import { oneLine } from '../../protocol/sign-in.ts';

/** RFC 9051 §6.1.3. */
export function farewell(tag: string): string {
  return `* BYE signing off\r\n${tag} OK LOGOUT completed\r\n`;
}

/**
 * In place of answers that will not come. Never NO: programs take that for the verdict on one message and do not ask again, while all
 * of them know what to do when a connection ends.
 */
export const LOST =
  '* BYE [UNAVAILABLE] the connection to the provider was lost, what was under way may have been done or not; connect again\r\n';
/** Of a session that is only passed through. */
export const CLOSED = '* BYE the provider closed the connection';
/** A message that was to be stored is here, and no server. */
export const NOT_STORED =
  '* BYE [UNAVAILABLE] the connection to the provider was lost and the message was not stored; connect again\r\n';
export const ONE_AT_A_TIME = 'NO [CANNOT] with this app password messages are stored one at a time; none of these was';
export const TOO_LONG = 'BAD [TOOBIG] a command line may have 1048576 octets; literals may be longer';
export const TOO_LONG_END = '* BYE [TOOBIG] a command line was too long; connect again\r\n';
/** In place of a line that is not IMAP. */
export const NOT_IMAP = '* BYE [UNAVAILABLE] the provider does not speak IMAP just now; connect again in a while';
export const EXPUNGED = 'NO [EXPUNGEISSUED] messages were expunged meanwhile, numbers have changed; NOOP tells which';
export const NEVER_TOLD = '* BYE messages were expunged and this session cannot be told; connect again\r\n';
export const NOT_FOLLOWED = '* BYE this session cannot be followed any more; connect again\r\n';

/** The catalogue's row for a server that speaks no IMAP. */
const STRANGE = 'imap.unavailable';

/** For the log: how a server ended its session. */
export function tellOfEnd(
  log: Log,
  { strange, ...facts }: { farewell: string | undefined; strange: string | undefined; idling: boolean },
): void {
  if (strange === undefined) log.info(facts, 'the provider ended the session');
  else log.warn({ code: STRANGE, said: oneLine(strange) }, 'the provider answered with something that is not IMAP');
}
