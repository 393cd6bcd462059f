/** `/v1/webhooks/{id}/deliveries`: the log of a webhook, tests and replays. */
import { createRoute, z } from '@hono/zod-openapi';
import { testDelivery, webhookDeadline } from '../../outbox/webhook/dispatch.ts';
import type { WebhookDelivery } from '../../store/types-api.ts';
import type { ApiApp } from './app.ts';
import { apiError } from './errors.ts';
import { allowed, type ApiDeps, recordChange } from './request.ts';
import { iso, isoOrNull, json, jsonBody, page, pageOf, pageQuery, problems, readCursor, time, text } from './schema.ts';
import { webhookFor } from './webhooks.ts';

const STATES = ['pending', 'delivered', 'failed'] as const;
const deliverySchema = z
  .object({
    id: z.string(),
    eventId: z.string().openapi({ description: 'webhook-id: the same for every try and replay' }),
    type: z.string(),
    orderingKey: z.string().openapi({ description: 'deliveries of one key arrive in order' }),
    state: z.enum(STATES),
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
const byId = z.object({ id: text(60) });
const byBoth = byId.extend({ delivery: text(60) });

export function webhookDeliveries(app: ApiApp, { store, clock, audit }: ApiDeps): void {
  const tags = ['webhooks'];
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/webhooks/{id}/deliveries',
      operationId: 'listWebhookDeliveries',
      security: [{ key: ['webhooks:read'] }],
      summary: 'What was sent, newest first, with every try',
      tags,
      request: { params: byId, query: pageQuery.extend({ state: z.enum(STATES).optional() }) },
      responses: {
        200: json(pageOf(deliverySchema), 'newest first; finished ones are kept for two weeks'),
        ...problems,
      },
    }),
    async (c) => {
      allowed(c, 'events:read');
      const { id } = await webhookFor(c, store, c.req.valid('param').id);
      const { limit, cursor, state } = c.req.valid('query');
      const before = readCursor(cursor, z.int());
      const rows = await store.webhooks.deliveries(id, {
        limit: limit + 1,
        ...(state === undefined ? {} : { state }),
        ...(before === undefined ? {} : { before }),
      });
      return c.json(
        page(rows, limit, ({ seq }) => seq, shown),
        200,
      );
    },
  );
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/webhooks/{id}/deliveries/{delivery}',
      operationId: 'getWebhookDelivery',
      security: [{ key: ['webhooks:read'] }],
      summary: 'One delivery',
      tags,
      request: { params: byBoth },
      responses: { 200: json(deliverySchema, 'the delivery'), ...problems },
    }),
    async (c) => {
      allowed(c, 'events:read');
      const { id, delivery } = c.req.valid('param');
      const webhook = await webhookFor(c, store, id);
      const row = await store.webhooks.findDelivery(webhook.id, delivery);
      if (!row) throw apiError('api.not-found', `there is no delivery ${delivery}`);
      return c.json(shown(row), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/webhooks/{id}/deliveries/{delivery}/replay',
      operationId: 'replayWebhookDelivery',
      security: [{ key: ['webhooks:write'] }],
      summary: 'Send one again',
      tags,
      request: { params: byBoth },
      responses: { 202: json(deliverySchema, 'it is in line'), ...problems },
    }),
    async (c) => {
      const { id, delivery } = c.req.valid('param');
      const webhook = await webhookFor(c, store, id);
      const now = clock.now();
      const done = await store.webhooks.replay(webhook.id, { id: delivery }, { now, deadline: webhookDeadline(now) });
      const row = await store.webhooks.findDelivery(webhook.id, delivery);
      if (!row) throw apiError('api.not-found', `there is no delivery ${delivery}`);
      if (done > 0) await recordChange(c, audit, 'webhook.replayed', { id: webhook.id, deliveryId: delivery });
      return c.json(shown(row), 202);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/webhooks/{id}/replay',
      operationId: 'replayWebhook',
      security: [{ key: ['webhooks:write'] }],
      summary: 'Send again what failed, or everything, since a moment',
      tags,
      request: {
        params: byId,
        body: jsonBody(z.object({ since: time, state: z.enum(['failed', 'delivered']).default('failed') })),
      },
      responses: { 202: json(z.object({ count: z.int() }), 'how many are in line'), ...problems },
    }),
    async (c) => {
      const { id } = await webhookFor(c, store, c.req.valid('param').id);
      const { since, state } = c.req.valid('json');
      const now = clock.now();
      const which = { state, since: Date.parse(since) };
      const count = await store.webhooks.replay(id, which, { now, deadline: webhookDeadline(now) });
      await recordChange(c, audit, 'webhook.replayed', { id, state, since, count });
      return c.json({ count }, 202);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/webhooks/{id}/test',
      operationId: 'testWebhook',
      security: [{ key: ['webhooks:write'] }],
      summary: 'Send an event of type webhook.test',
      tags,
      request: { params: byId },
      responses: { 202: json(deliverySchema, 'it is in line; the log tells how it went'), ...problems },
    }),
    async (c) => {
      const { id } = await webhookFor(c, store, c.req.valid('param').id);
      const delivery = testDelivery(id, clock.now());
      await store.webhooks.add(id, delivery);
      const row = await store.webhooks.findDelivery(id, delivery.id);
      if (!row) throw apiError('api.not-found', `there is no webhook ${id} any more`);
      return c.json(shown(row), 202);
    },
  );
}

function shown(row: WebhookDelivery) {
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
