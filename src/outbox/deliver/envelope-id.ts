/** What a message’s envelope is called towards servers (RFC 3461 §4.4), and what their reports call it. */
import type { OutboxMessage } from '../../store/types-outbox.ts';

/** The sender’s own where it gave one; else ours, which nobody who gets the message can know. */
export function envelopeIdOf({ dsn, id }: Pick<OutboxMessage, 'dsn' | 'id'>): string {
  return dsn.envid ?? id;
}
