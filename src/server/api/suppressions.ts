/** `/v1/suppressions`: addresses that get no mail, from one mailbox or from all. */
import { z } from '@hono/zod-openapi';
import { address, text } from '../../admin/schema.ts';
import { addSuppressions, listSuppressions, removeSuppression } from '../../admin/suppressions.ts';
import type { ActRoutes } from './acts.ts';

export function suppressions({ list, one }: ActRoutes): void {
  list(listSuppressions, 'listSuppressions', '/v1/suppressions', {
    says: 'by address',
    query: z.object({ address: address.optional(), mailbox: text(320).optional() }),
    input: ({ mailbox, ...query }) => ({ ...query, ...(mailbox === undefined ? {} : { mailboxes: [mailbox] }) }),
    position: ({ address, mailbox }) => ({ address, mailbox }),
  });
  one(addSuppressions, 'addSuppressions', 'post /v1/suppressions', {
    says: 'how many are new, how many were there',
  });
  one(removeSuppression, 'removeSuppression', 'delete /v1/suppressions/{address}');
}
