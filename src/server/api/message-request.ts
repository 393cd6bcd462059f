/** What the operations on messages have in common. */
import { z } from '@hono/zod-openapi';
import { text } from '../../admin/schema.ts';
import type { AcceptRequest } from '../../outbox/types.ts';
import { apiError } from './errors.ts';
import type { MessageInput } from './message-schema.ts';
import type { ApiContext } from './request.ts';

export const keyHeader = z.object({
  'idempotency-key': text(255)
    .optional()
    .openapi({ description: 'the same key and request give the same message for a day', example: 'order-4711' }),
});

/** What both forms have in common. @throws api.request */
export function requestOf(
  c: ApiContext,
  mailbox: AcceptRequest['mailbox'],
  times: Pick<MessageInput, 'scheduledAt' | 'expiresAt' | 'lane'>,
  key: string | undefined,
): Omit<AcceptRequest, 'envelope'> {
  const notBefore = times.scheduledAt === undefined ? undefined : Date.parse(times.scheduledAt);
  const deadline = times.expiresAt === undefined ? undefined : Date.parse(times.expiresAt);
  if (deadline !== undefined && deadline <= (notBefore ?? 0))
    throw apiError('api.request', 'expiresAt is not after scheduledAt');
  return {
    mailbox,
    source: 'http',
    principal: c.get('key').id,
    ...(c.env.peer.address === '' ? {} : { remoteAddress: c.env.peer.address }),
    lane: times.lane,
    ...(notBefore === undefined ? {} : { notBefore }),
    ...(deadline === undefined ? {} : { deadline }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
  };
}
