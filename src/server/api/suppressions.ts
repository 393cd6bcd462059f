/** `/v1/suppressions`: addresses that get no mail, from one mailbox or from all. */
import { z } from '@hono/zod-openapi';
import { address, text, time } from '../../admin/schema.ts';
import { addSuppressions, listSuppressions, removeSuppression, suppressionInput } from '../../admin/suppressions.ts';
import type { ActRoutes } from './acts.ts';
import { iso } from './schema.ts';

const suppressionSchema = suppressionInput.extend({ createdAt: time }).openapi('Suppression');

export function suppressions({ list, one }: ActRoutes): void {
  list(listSuppressions, 'listSuppressions', '/v1/suppressions', {
    schema: suppressionSchema,
    says: 'by address',
    query: z.object({ address: address.optional(), mailbox: text(320).optional() }),
    input: ({ mailbox, ...query }) => ({ ...query, ...(mailbox === undefined ? {} : { mailboxes: [mailbox] }) }),
    position: ({ address, mailbox }) => ({ address, mailbox }),
    show: ({ createdAt, ...row }) => ({ ...row, createdAt: iso(createdAt) }),
  });
  one(addSuppressions, 'addSuppressions', 'post /v1/suppressions', {
    schema: z.object({ added: z.int(), changed: z.int() }),
    says: 'how many are new, how many were there',
    show: ({ added, rows }) => ({ added, changed: rows.length - added }),
  });
  one(removeSuppression, 'removeSuppression', 'delete /v1/suppressions/{address}');
}
