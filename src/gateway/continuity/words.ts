/** What an IMAP client is told by us. */

/** RFC 9051 §6.1.3. */
export function farewell(tag: string): string {
  return `* BYE signing off\r\n${tag} OK LOGOUT completed\r\n`;
}

export const LOST =
  'NO [UNAVAILABLE] the connection to the provider was lost before it answered; this may have been done or not';
export const EXPUNGED = 'NO [EXPUNGEISSUED] messages were expunged meanwhile, numbers have changed; NOOP tells which';
export const NEVER_TOLD = '* BYE messages were expunged and this session cannot be told; connect again\r\n';
export const NOT_FOLLOWED = '* BYE this session cannot be followed any more; connect again\r\n';
