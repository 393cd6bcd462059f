/** Mail in the outbox: what is done to it by hand. */
import { z } from 'zod';
import type { Edit, Outbox } from '../outbox/types.ts';
import type { OutboxMessage } from '../store/types-outbox.ts';
import { act, type ActDeps, type Desk } from './act.ts';
import { type Actor, requirePermission, signatureOf } from './actor.ts';
import { findMessage } from './find.ts';
import { holdReason, text } from './schema.ts';
import { lane, shownMessage } from './shown-message.ts';

interface OutboxDeps extends ActDeps {
  readonly outbox: Outbox;
}

const byId = z.object({ id: text(60) });
const common = {
  permission: 'messages:write',
  gives: shownMessage,
  record: ({ id, mailbox }: OutboxMessage) => [{ mailbox, data: { messageId: id } }],
} as const;

/** What is done to a message that needs no more than to be named. */
const simple = (verb: 'cancel' | 'retry', what: string, summary: string) =>
  act({
    ...common,
    name: `messages.${verb}`,
    summary,
    what,
    input: byId,
    run: async (desk: Desk<OutboxDeps>, { id }) =>
      desk.outbox[verb]((await findMessage(desk, id, desk.actor)).id, signatureOf(desk.actor)),
  });

export const cancelMessage = simple('cancel', 'message.cancelled', 'Cancel a message: it is never sent');
export const retryMessage = simple(
  'retry',
  'message.retried',
  'Send a message now: one that waits, is held, or has failed',
);

export const holdMessage = act({
  ...common,
  name: 'messages.hold',
  summary: 'Hold a message until it is retried',
  what: 'message.held',
  input: byId.extend({ reason: holdReason }),
  run: async (desk: Desk<OutboxDeps>, { id, reason }) =>
    desk.outbox.hold((await findMessage(desk, id, desk.actor)).id, signatureOf(desk.actor), reason),
});

export const readMessage = act({
  name: 'messages.read',
  summary: 'The octets of a message, as they are sent',
  permission: 'messages:content',
  audits: 'message.read',
  input: byId,
  run: (desk: Desk<OutboxDeps>, { id }) => findMessage(desk, id, desk.actor),
  record: common.record,
});

export const editMessage = act({
  ...common,
  name: 'messages.edit',
  summary: 'Change a message that waits: its time, its lane, or, with messages:send as well, all of it',
  what: 'message.edited',
  input: byId.extend({
    /** Milliseconds since the epoch. */
    notBefore: z.number().optional(),
    deadline: z.number().optional(),
    lane: lane.optional(),
    /** Another message in its place. */
    content: z.custom<Required<Omit<NonNullable<Edit['content']>, 'writer'>>>().optional(),
  }),
  async run(desk: Desk<OutboxDeps>, { id, notBefore, deadline, lane, content }) {
    if (content) requirePermission(desk.actor, SENDING);
    return desk.outbox.edit((await findMessage(desk, id, desk.actor)).id, signatureOf(desk.actor), {
      ...(notBefore === undefined ? {} : { notBefore }),
      ...(deadline === undefined ? {} : { deadline }),
      ...(lane === undefined ? {} : { lane }),
      ...(content && { content: { ...content, writer: writerOf(desk.actor) } }),
    });
  },
});

/** Another message in the place of one that waits is sent like any other. */
export const SENDING = 'messages:send';

function writerOf(actor: Actor): NonNullable<Edit['content']>['writer'] {
  if (actor.type !== 'api-key') return { principal: signatureOf(actor), source: 'http' };
  const { key, remoteAddress } = actor;
  return { principal: key.id, source: 'http', ...(remoteAddress === '' ? {} : { remoteAddress }) };
}
