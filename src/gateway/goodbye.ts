/** What the gateway says when it ends a connection that did not ask for it. */
import type { SessionKeeper } from './continuity/session-keeper.ts';
import type { Protocol } from '../store/protocols.ts';

export type Ending =
  | 'too-many-connections'
  | 'made-room'
  | 'unavailable'
  | 'too-slow'
  | 'shutdown'
  | 'revoked'
  | 'closed'
  | 'idle'
  | 'fault';

/** IMAP response code, SMTP reply code, and the words. */
const phrases: Readonly<Record<Ending, { readonly imap: string; readonly smtp: string; readonly text: string }>> = {
  'too-many-connections': { imap: '[LIMIT] ', smtp: '4.7.0', text: 'too many connections, try again later' },
  'made-room': { imap: '[LIMIT] ', smtp: '4.7.0', text: 'too many connections from this address wait to sign in' },
  unavailable: { imap: '[UNAVAILABLE] ', smtp: '4.3.2', text: 'the server cannot work just now, try again later' },
  'too-slow': { imap: '', smtp: '4.4.2', text: 'no sign-in within the time allowed' },
  shutdown: { imap: '[UNAVAILABLE] ', smtp: '4.3.2', text: 'the server is shutting down' },
  revoked: { imap: '', smtp: '4.7.0', text: 'this app password is no longer valid' },
  closed: { imap: '', smtp: '4.7.0', text: 'this mailbox was closed; ask the person who runs this gateway' },
  idle: { imap: '', smtp: '4.4.2', text: 'closed after long silence' },
  fault: { imap: '[SERVERBUG] ', smtp: '4.3.0', text: 'an internal error ended this connection' },
};

/**
 * The last line, or undefined where the protocol has none: an untagged BYE (RFC 9051 §7.1.5), a 421 (RFC 5321 §3.8). A POP3
 * server never speaks unasked (RFC 1939 §3), except in place of its greeting.
 */
export function goodbye(protocol: Protocol, ending: Ending, hostname: string): string | undefined {
  const { imap, smtp, text } = phrases[ending];
  if (protocol === 'pop3') return undefined;
  return protocol === 'imap' ? `* BYE ${imap}${text}\r\n` : `421 ${smtp} ${hostname} ${text}\r\n`;
}

/** The line instead of a greeting. */
export function refusal(protocol: Protocol, ending: Ending, hostname: string): string {
  return goodbye(protocol, ending, hostname) ?? `-ERR [SYS/TEMP] ${phrases[ending].text}\r\n`;
}

/** What can still be said after a defect; nothing, where the keeper cannot tell. */
export function lastWords(keeper: SessionKeeper | undefined, words: string | undefined): string | undefined {
  try {
    return keeper === undefined ? words : keeper.goodbye(words);
  } catch {
    return undefined;
  }
}
