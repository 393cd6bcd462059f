/** A message as whoever asked for an act on it sees it. */
import { z } from 'zod';
import { withoutPaths } from '../base/outside.ts';
import type { OutboxMessage } from '../store/types-outbox.ts';
import { moment, shownAs } from './schema.ts';

export const lane = z.enum(['normal', 'urgent']).meta({ description: 'urgent ones of a mailbox go first' });
const state = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('queued'), dueAt: moment }),
    z.object({
      type: z.literal('sending'),
      until: moment.meta({ description: 'when the attempt is taken for lost' }),
    }),
    z.object({ type: z.literal('held'), since: moment, reason: z.string() }),
    z.object({ type: z.literal('sent'), at: moment }),
    z.object({ type: z.literal('failed'), at: moment, code: z.string(), reason: z.string() }),
    z.object({ type: z.literal('cancelled'), at: moment }),
  ])
  .meta({ id: 'MessageState' });

export const messageSchema = z
  .object({
    id: z.string().meta({ example: 'msg_06b1v7c4n2hvr3q8f9t5x0w2ka' }),
    mailbox: z.string(),
    source: z.enum(['smtp', 'http', 'sendmail', 'device', 'report']),
    principal: z.string().meta({ description: 'who handed it over: id of an API key or app password' }),
    from: z.string().meta({ description: 'of the envelope' }),
    recipients: z
      .array(
        z.object({
          address: z.string(),
          state: z.enum(['pending', 'delivered', 'refused']),
          reply: z.string().optional().meta({ description: 'the last words of the server about this recipient' }),
          mayHaveArrived: z.string().optional().meta({
            description:
              'an attempt for this recipient ended without an answer, for this reason: it may have arrived although state is pending or refused, and may arrive twice',
          }),
        }),
      )
      .readonly(),
    messageId: z.string().meta({ description: 'Message-ID of the header' }),
    size: z.int().meta({ description: 'octets' }),
    lane,
    state,
    attempts: z.int(),
    createdAt: moment,
    expiresAt: moment,
    finishedAt: moment.nullable(),
  })
  .meta({ id: 'Message' });

function shownState(state: OutboxMessage['state']) {
  if (state.type === 'queued') return { type: state.type, dueAt: state.nextAt };
  return state.type === 'failed' ? { ...state, reason: withoutPaths(state.reason) } : state;
}

/** What the schema does not name is not shown. */
export const shownMessage = shownAs(messageSchema, (message: OutboxMessage) => {
  const { state, finishedAt = null } = message;
  return {
    ...message,
    from: message.envelopeFrom,
    state: shownState(state),
    expiresAt: message.deadline,
    finishedAt,
  };
});
