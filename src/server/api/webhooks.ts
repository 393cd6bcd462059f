/** `/v1/webhooks`: who is told of events, and what was sent to them. */
import { z } from '@hono/zod-openapi';
import {
  createWebhook,
  DELIVERY_STATES,
  getWebhook,
  getWebhookDelivery,
  listWebhookDeliveries,
  listWebhooks,
  removeWebhook,
  replayWebhook,
  replayWebhookDelivery,
  rotateWebhookSecret,
  type ShownWebhook,
  testWebhook,
  updateWebhook,
  url,
  WEBHOOK_TYPES,
} from '../../admin/webhooks.ts';
import { time } from '../../admin/schema.ts';
import type { WebhookDelivery } from '../../store/types-api.ts';
import type { ActRoutes } from './acts.ts';
import type { ApiApp } from './request.ts';
import { iso, isoOrNull, jsonBody } from './schema.ts';

const webhookSchema = z
  .object({
    id: z.string(),
    apiKeyId: z.string().nullable().openapi({
      description: 'the key it belongs to: that which made it, or changed it last; it is switched off with that key',
    }),
    url,
    types: z.array(z.string()),
    mailboxes: z.array(z.string()),
    enabled: z.boolean(),
    disabled: z.object({ since: time, reason: z.string() }).nullable(),
    secrets: z
      .array(z.object({ expiresAt: time.nullable() }))
      .openapi({ description: 'live secrets, the newest first, without their values' }),
    createdAt: time,
  })
  .openapi('Webhook');
const withSecret = webhookSchema
  .extend({
    secret: z.string().openapi({ description: 'shown once', example: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' }),
  })
  .openapi('WebhookWithSecret');
const deliverySchema = z
  .object({
    id: z.string(),
    eventId: z.string().openapi({ description: 'webhook-id: the same for every try and replay' }),
    type: z.string(),
    orderingKey: z.string().openapi({ description: 'deliveries of one key arrive in order' }),
    state: z.enum(DELIVERY_STATES),
    payload: z.string().openapi({ description: 'JSON, as it is signed and sent' }),
    attempts: z.array(
      z.object({
        at: time,
        tookMs: z.number(),
        status: z.int().optional().openapi({ description: 'missing when there was no answer' }),
        problem: z.string().optional(),
      }),
    ),
    createdAt: time,
    nextAt: time.nullable(),
    deadline: time,
    finishedAt: time.nullable(),
  })
  .openapi('WebhookDelivery');

export function webhooks({ list, one }: ActRoutes, app: ApiApp): void {
  app.openAPIRegistry.registerWebhook({
    method: 'post',
    path: 'event',
    operationId: 'receiveEvent',
    summary: 'What a receiver gets: Standard Webhooks',
    tags: ['webhooks'],
    request: {
      headers: z.object({
        'webhook-id': z.string().openapi({ description: 'the same for every try and replay of an event' }),
        'webhook-timestamp': z.string().openapi({ description: 'seconds since the epoch' }),
        'webhook-signature': z.string().openapi({ description: 'one `v1,…` for each live secret' }),
        'postern-ordering-key': z.string().openapi({ description: 'events of one key arrive in order' }),
        'postern-attempt': z.string().openapi({ description: 'counted from 1' }),
        'postern-delivery': z.string().openapi({ description: 'id in the log of the webhook' }),
      }),
      body: jsonBody(
        z
          .object({
            type: z.enum([...WEBHOOK_TYPES, 'webhook.test']),
            timestamp: time,
            data: z.record(z.string(), z.unknown()).openapi({
              description: 'messageId, mailbox, sequence (the id of the event), and what GET /v1/events has as data',
            }),
          })
          .openapi('WebhookEvent'),
      ),
    },
    responses: {
      204: { description: 'taken; anything but 2xx is tried again, 410 switches the webhook off' },
    },
  });
  const asWebhook = { schema: webhookSchema, show: shown };
  const asDelivery = { schema: deliverySchema, show: shownDelivery };
  list(listWebhooks, 'listWebhooks', '/v1/webhooks', {
    ...asWebhook,
    says: 'oldest first',
    position: ({ createdAt, id }) => ({ createdAt, id }),
  });
  one(createWebhook, 'createWebhook', 'post /v1/webhooks', {
    status: 201,
    schema: withSecret,
    says: 'with the secret its signatures are made with',
    show: (row) => ({ ...shown(row), secret: row.secret.reveal() }),
  });
  one(getWebhook, 'getWebhook', 'get /v1/webhooks/{id}', { ...asWebhook, says: 'the webhook' });
  one(updateWebhook, 'updateWebhook', 'patch /v1/webhooks/{id}', { ...asWebhook, says: 'as it is now' });
  one(removeWebhook, 'deleteWebhook', 'delete /v1/webhooks/{id}');
  one(rotateWebhookSecret, 'rotateWebhookSecret', 'post /v1/webhooks/{id}/rotate', {
    schema: withSecret,
    says: 'with the new secret',
    show: (row) => ({ ...shown(row), secret: row.secret.reveal() }),
  });
  list(listWebhookDeliveries, 'listWebhookDeliveries', '/v1/webhooks/{id}/deliveries', {
    ...asDelivery,
    says: 'newest first; finished ones are kept for two weeks',
    position: ({ seq }) => seq,
  });
  one(getWebhookDelivery, 'getWebhookDelivery', 'get /v1/webhooks/{id}/deliveries/{delivery}', {
    ...asDelivery,
    says: 'the delivery',
  });
  one(replayWebhookDelivery, 'replayWebhookDelivery', 'post /v1/webhooks/{id}/deliveries/{delivery}/replay', {
    status: 202,
    schema: deliverySchema,
    says: 'it is in line',
    show: ({ row }) => shownDelivery(row),
  });
  one(replayWebhook, 'replayWebhook', 'post /v1/webhooks/{id}/replay', {
    status: 202,
    schema: z.object({ count: z.int() }),
    says: 'how many are in line',
    show: (done) => done,
  });
  one(testWebhook, 'testWebhook', 'post /v1/webhooks/{id}/test', {
    ...asDelivery,
    status: 202,
    says: 'it is in line; the log tells how it went',
  });
}

function shown({ id, apiKeyId, url, types, mailboxes, state, ends, createdAt }: ShownWebhook) {
  return {
    id,
    apiKeyId: apiKeyId ?? null,
    url,
    types: [...types],
    mailboxes: [...mailboxes],
    enabled: state.type === 'enabled',
    disabled: state.type === 'enabled' ? null : { since: iso(state.since), reason: state.reason },
    secrets: ends.map((at) => ({ expiresAt: isoOrNull(at) })),
    createdAt: iso(createdAt),
  };
}

function shownDelivery(row: WebhookDelivery) {
  const { id, eventId, type, orderingKey, state, payload } = row;
  return {
    id,
    eventId,
    type,
    orderingKey,
    state,
    payload,
    attempts: row.attempts.map(({ at, ...rest }) => ({ at: iso(at), ...rest })),
    createdAt: iso(row.createdAt),
    nextAt: isoOrNull(row.nextAt),
    deadline: iso(row.deadline),
    finishedAt: isoOrNull(row.finishedAt),
  };
}
