/** A mailbox as --json tells of it. */
import type { Mailbox } from '../../store/types.ts';

export function mailboxFacts({ address, access, protocols, grantId, createdAt }: Mailbox): Record<string, unknown> {
  return { address, access, protocols, grantId, createdAt: new Date(createdAt).toISOString() };
}
