/** What the operations on messages have in common. */
import { z } from '@hono/zod-openapi';
import { text } from '../../admin/schema.ts';
import type { AcceptRequest } from '../../outbox/types.ts';
import { apiError } from './errors.ts';
import type { MessageInput } from './message-schema.ts';
import type { ApiContext, ApiDeps } from './request.ts';

export const keyHeader = z.object({
  'idempotency-key': text(255)
    .optional()
    .openapi({ description: 'the same key and request give the same message for a day', example: 'order-4711' }),
});

/** A message whose time is over before it is taken would never be sent. @throws api.request */
export function requireAhead(deadline: number | undefined, now: number): void {
  if (deadline !== undefined && deadline <= now) throw apiError('api.request', 'expiresAt has passed already');
}

/** What both forms have in common. @throws api.request, store.unavailable */
export async function requestOf(
  c: ApiContext,
  { outbox, clock }: Pick<ApiDeps, 'outbox' | 'clock'>,
  mailbox: AcceptRequest['mailbox'],
  times: Pick<MessageInput, 'scheduledAt' | 'expiresAt' | 'lane'>,
  key: string | undefined,
): Promise<Omit<AcceptRequest, 'envelope'>> {
  const notBefore = times.scheduledAt === undefined ? undefined : Date.parse(times.scheduledAt);
  const deadline = times.expiresAt === undefined ? undefined : Date.parse(times.expiresAt);
  if (deadline !== undefined && deadline <= (notBefore ?? 0))
    throw apiError('api.request', 'expiresAt is not after scheduledAt');
  const principal = c.get('key').id;
  const now = clock.now();
  // Under a key it may be known already, and then the answer is the one from before.
  const isKnown = (deadline ?? now) <= now && key !== undefined && (await outbox.knows(principal, key));
  if (!isKnown) requireAhead(deadline, now);
  return {
    mailbox,
    source: 'http',
    principal,
    confirm: async () => void (await c.get('hold').confirm(mailbox.address)),
    ...(c.env.peer.address === '' ? {} : { remoteAddress: c.env.peer.address }),
    lane: times.lane,
    ...(notBefore === undefined ? {} : { notBefore }),
    ...(deadline === undefined ? {} : { deadline }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
  };
}
