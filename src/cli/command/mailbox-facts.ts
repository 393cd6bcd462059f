/** A mailbox as --json tells of it. */
import type { Mailbox } from '../../store/types.ts';

export function mailboxFacts(mailbox: Mailbox): Record<string, unknown> {
  const { address, access, protocols, grantId, createdAt, settings } = mailbox;
  return {
    address,
    access,
    protocols,
    grantId,
    outgoing: settings.outgoing ?? 'direct',
    routes: settings.routes ?? [],
    sendAs: settings.sendAs ?? [],
    held: settings.outboxHeld ?? null,
    tried: mailbox.tried ?? {},
    createdAt,
  };
}

/** How its mail leaves and as whom: what `mailbox set` and `outbox hold` have set. */
export function sendingText({ settings }: Pick<Mailbox, 'settings'>): string {
  const { outgoing, routes, sendAs = [] } = settings;
  const way = outgoing === 'outbox' ? 'through the outbox' : 'directly';
  const by = routes === undefined || routes.length === 0 ? '' : `, by ${routes.join(', then ')}`;
  return `${way}${sendAs.length === 0 ? '' : `, also as ${sendAs.join(', ')}`}${by}`;
}
