/** `/v1/webhooks`: who is told of events, and what was sent to them. */
import { z } from '@hono/zod-openapi';
import {
  createWebhook,
  getWebhook,
  getWebhookDelivery,
  listWebhookDeliveries,
  listWebhooks,
  removeWebhook,
  replayWebhook,
  replayWebhookDelivery,
  rotateWebhookSecret,
  shownWebhook,
  testWebhook,
  updateWebhook,
  webhookWithSecret,
  WEBHOOK_TYPES,
} from '../../admin/webhooks.ts';
import { time } from '../../admin/schema.ts';
import type { ActRoutes } from './acts.ts';
import type { ApiApp } from './request.ts';
import { extension, jsonBody } from './schema.ts';

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
  const as = extension(shownWebhook, webhookWithSecret);
  list(listWebhooks, 'listWebhooks', '/v1/webhooks', {
    says: 'oldest first',
    position: ({ createdAt, id }) => ({ createdAt, id }),
  });
  const said = 'with the secret its signatures are made with';
  one(createWebhook, 'createWebhook', 'post /v1/webhooks', { status: 201, as, says: said });
  one(getWebhook, 'getWebhook', 'get /v1/webhooks/{id}', { says: 'the webhook' });
  one(updateWebhook, 'updateWebhook', 'patch /v1/webhooks/{id}', { says: 'as it is now' });
  one(removeWebhook, 'deleteWebhook', 'delete /v1/webhooks/{id}');
  one(rotateWebhookSecret, 'rotateWebhookSecret', 'post /v1/webhooks/{id}/rotate', { as, says: 'with the new secret' });
  list(listWebhookDeliveries, 'listWebhookDeliveries', '/v1/webhooks/{id}/deliveries', {
    says: 'newest first; finished ones are kept for two weeks',
    position: ({ seq }) => seq,
  });
  one(getWebhookDelivery, 'getWebhookDelivery', 'get /v1/webhooks/{id}/deliveries/{delivery}', {
    says: 'the delivery',
  });
  one(replayWebhookDelivery, 'replayWebhookDelivery', 'post /v1/webhooks/{id}/deliveries/{delivery}/replay', {
    status: 202,
    says: 'it is in line',
  });
  one(replayWebhook, 'replayWebhook', 'post /v1/webhooks/{id}/replay', { status: 202, says: 'how many are in line' });
  one(testWebhook, 'testWebhook', 'post /v1/webhooks/{id}/test', {
    status: 202,
    says: 'it is in line; the log tells how it went',
  });
}
