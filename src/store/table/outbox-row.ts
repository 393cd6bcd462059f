/** Messages and events of the outbox as rows, both ways. */
import type { Insertable, Selectable } from 'kysely';
import { storeError } from '../errors.ts';
import type { OutboxEventRow, OutboxMessageRow } from '../schema.ts';
import type { MessageEvent, MessageState, NewMessage, NewMessageEvent, OutboxMessage } from '../types-outbox.ts';
import { fromJson } from './json.ts';

type StateColumns = Pick<OutboxMessageRow, 'state' | 'state_at' | 'state_by' | 'state_reason' | 'finished_at'>;

export function stateColumns(state: MessageState): StateColumns {
  const none = { state: state.type, state_by: null, state_reason: null, finished_at: null };
  switch (state.type) {
    case 'queued':
      return { ...none, state_at: state.nextAt };
    case 'sending':
      return { ...none, state_at: state.until, state_by: state.owner, state_reason: state.ways ?? null };
    case 'held':
      return { ...none, state_at: state.since, state_reason: state.reason };
    case 'sent':
    case 'cancelled':
      return { ...none, state_at: state.at, finished_at: state.at };
    case 'failed':
      return { ...none, state_at: state.at, state_by: state.code, state_reason: state.reason, finished_at: state.at };
  }
}

function stateOf(row: StateColumns): MessageState {
  const { state, state_at: at, state_by: by, state_reason: reason } = row;
  switch (state) {
    case 'queued':
      return { type: state, nextAt: at };
    case 'sending':
      return { type: state, owner: by ?? '', until: at, ...(reason === null ? {} : { ways: reason }) };
    case 'held':
      return { type: state, since: at, reason: reason ?? '' };
    case 'sent':
    case 'cancelled':
      return { type: state, at };
    case 'failed':
      return { type: state, at, code: by ?? '', reason: reason ?? '' };
    default:
      throw storeError('store.damaged', `a message is in the unknown state ${state}`);
  }
}

/** Urgent ones first, so that one index gives the order. */
export const LANES = ['urgent', 'normal'] as const;

export function messageRow({ message }: NewMessage): Insertable<OutboxMessageRow> {
  return {
    id: message.id,
    mailbox: message.mailbox,
    source: message.source,
    principal: message.principal,
    remote_address: message.remoteAddress ?? null,
    envelope_from: message.envelopeFrom,
    recipients: JSON.stringify(message.recipients),
    message_id: message.messageId,
    size: message.size,
    lane: LANES.indexOf(message.lane),
    dsn: JSON.stringify(message.dsn),
    smtputf8: message.smtputf8 ? 1 : 0,
    eight_bit: message.eightBit ? 1 : 0,
    deadline: message.deadline,
    attempts: 0,
    ...stateColumns(message.state),
    fence: 1,
    body_id: message.bodyId,
    data_key: message.key,
    chunks: message.chunks,
    created_at: message.createdAt,
    not_before: message.notBefore ?? null,
  };
}

export function outboxMessage(row: Selectable<OutboxMessageRow>): OutboxMessage {
  return {
    id: row.id,
    seq: row.seq,
    mailbox: row.mailbox,
    source: row.source as OutboxMessage['source'],
    principal: row.principal,
    ...(row.remote_address === null ? {} : { remoteAddress: row.remote_address }),
    envelopeFrom: row.envelope_from,
    recipients: fromJson(row.recipients, 'outbox_messages.recipients'),
    messageId: row.message_id,
    size: row.size,
    lane: LANES[row.lane] ?? 'normal',
    dsn: fromJson(row.dsn, 'outbox_messages.dsn'),
    smtputf8: row.smtputf8 !== 0,
    eightBit: row.eight_bit !== 0,
    deadline: row.deadline,
    attempts: row.attempts,
    state: stateOf(row),
    fence: row.fence,
    bodyId: row.body_id,
    key: row.data_key,
    chunks: row.chunks,
    createdAt: row.created_at,
    finishedAt: row.finished_at ?? undefined,
    ...(row.not_before === null ? {} : { notBefore: row.not_before }),
  };
}

export function eventRow(
  message: Pick<OutboxMessage, 'id' | 'mailbox'>,
  event: NewMessageEvent,
): Insertable<OutboxEventRow> {
  const { at, type, data } = event;
  return { message_id: message.id, mailbox: message.mailbox, at, type, data: JSON.stringify(data) };
}

export function messageEvent(row: Selectable<OutboxEventRow>): MessageEvent {
  return {
    seq: row.seq,
    messageId: row.message_id,
    mailbox: row.mailbox,
    at: row.at,
    type: row.type,
    data: fromJson(row.data, 'outbox_events.data'),
  };
}
