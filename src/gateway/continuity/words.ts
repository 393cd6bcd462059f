/** What an IMAP client is told by us. */

/** RFC 9051 §6.1.3. */
export function farewell(tag: string): string {
  return `* BYE signing off\r\n${tag} OK LOGOUT completed\r\n`;
}

export const LOST =
  'NO [UNAVAILABLE] the connection to the provider was lost before it answered; this may have been done or not';
/** The same for a command that only reads, when a part of its answer had come. */
export const LOST_READING =
  'NO [UNAVAILABLE] the connection to the provider was lost before the answer was complete; this command changes nothing, send it again';
export const TOO_LONG = 'BAD [TOOBIG] a command line may have 1048576 octets; literals may be longer';
export const TOO_LONG_END = '* BYE [TOOBIG] a command line was too long; connect again\r\n';
/** In place of a line that is not IMAP. */
export const NOT_IMAP = '* BYE [UNAVAILABLE] the provider does not speak IMAP just now; connect again in a while';
export const EXPUNGED = 'NO [EXPUNGEISSUED] messages were expunged meanwhile, numbers have changed; NOOP tells which';
export const NEVER_TOLD = '* BYE messages were expunged and this session cannot be told; connect again\r\n';
export const NOT_FOLLOWED = '* BYE this session cannot be followed any more; connect again\r\n';
