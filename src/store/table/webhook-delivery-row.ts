import type { Insertable } from 'kysely';
import type { WebhookDeliveryRow } from '../schema.ts';
import type { NewWebhookDelivery, WebhookDelivery } from '../types-api.ts';
import { fromJson } from './json.ts';

export function deliveryValues(webhookId: string, delivery: NewWebhookDelivery): Insertable<WebhookDeliveryRow> {
  return {
    id: delivery.id,
    webhook_id: webhookId,
    event_id: delivery.eventId,
    type: delivery.type,
    ordering_key: delivery.orderingKey,
    mailbox: delivery.mailbox ?? null,
    payload: delivery.payload,
    state: 'pending',
    created_at: delivery.createdAt,
    next_at: delivery.createdAt,
    deadline: delivery.deadline,
    finished_at: null,
    attempts: '[]',
    fence: 0,
  };
}

export function webhookDelivery(row: Omit<WebhookDeliveryRow, 'seq'> & { seq: number }): WebhookDelivery {
  return {
    id: row.id,
    seq: row.seq,
    webhookId: row.webhook_id,
    eventId: row.event_id,
    type: row.type,
    orderingKey: row.ordering_key,
    mailbox: row.mailbox ?? undefined,
    payload: row.payload,
    state: row.state as WebhookDelivery['state'],
    createdAt: row.created_at,
    nextAt: row.next_at ?? undefined,
    deadline: row.deadline,
    finishedAt: row.finished_at ?? undefined,
    attempts: fromJson(row.attempts, 'webhook_deliveries.attempts'),
    fence: row.fence,
  };
}
