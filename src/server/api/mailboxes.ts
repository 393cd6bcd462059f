/** `/v1/mailboxes`: what mail is sent through, and how it is doing. */
import { getMailbox, holdMailbox, listMailboxes, releaseMailbox } from '../../admin/mailboxes.ts';
import { mailboxSchema, mailboxWithQueue } from '../../admin/shown-mailbox.ts';
import type { ActRoutes } from './acts.ts';
import { apiError } from './errors.ts';
import { extension } from './schema.ts';

export function mailboxes({ list, one }: ActRoutes): void {
  list(listMailboxes, 'listMailboxes', '/v1/mailboxes', {
    says: 'by address',
    position: ({ mailbox }) => mailbox.address,
  });
  one(getMailbox, 'getMailbox', 'get /v1/mailboxes/{address}', {
    says: 'the mailbox',
    as: extension(mailboxSchema, mailboxWithQueue),
  });
  one(holdMailbox, 'holdMailbox', 'post /v1/mailboxes/{address}/hold');
  one(releaseMailbox, 'releaseMailbox', 'post /v1/mailboxes/{address}/release', ({ address, wasHeld }) => {
    if (!wasHeld) throw apiError('api.not-found', `${address} is not held`);
  });
}
