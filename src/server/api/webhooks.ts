/** `/v1/webhooks`: who is told of events. */
import { createRoute, z } from '@hono/zod-openapi';
import { newWebhookSecret, openSecrets, sealSecrets, type WebhookSecret } from '../../outbox/webhook/signature.ts';
import { Egress } from '../../outbox/webhook/egress.ts';
import { newId } from '../../store/id.ts';
import type { Webhook } from '../../store/types-api.ts';
import { MESSAGE_EVENTS } from '../../store/types-outbox.ts';
import type { ApiApp } from './app.ts';
import { apiError } from './errors.ts';
import { allowed, type ApiContext, type ApiDeps, mailboxesOf, mailboxFor, mayUse, recordChange } from './request.ts';
import {
  gone,
  iso,
  isoOrNull,
  json,
  jsonBody,
  page,
  pageOf,
  pageQuery,
  problems,
  readCursor,
  time,
  text,
} from './schema.ts';

const WEBHOOK_TYPES = MESSAGE_EVENTS.map((type) => `message.${type}` as const);
const types = z
  .array(z.enum(WEBHOOK_TYPES))
  .max(100)
  .openapi({ description: 'events it is told of; empty: all', example: ['message.sent', 'message.failed'] });
const mailboxList = z
  .array(text(320))
  .min(1)
  .max(1000)
  .openapi({ description: 'mailboxes whose events it is told of; `*`: all', example: ['*'] });
const url = text(2000).openapi({ example: 'https://example.com/hooks/mail' });
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
const secretSchema = z
  .string()
  .openapi({ description: 'shown once', example: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' });
const withSecret = webhookSchema.extend({ secret: secretSchema }).openapi('WebhookWithSecret');
const byId = z.object({ id: text(60) });
/** Where a page ends: a place in the order, which stays when the webhook that stood there is removed. */
const position = z.object({ createdAt: z.number(), id: z.string() });
type Position = z.infer<typeof position>;
function byAge(a: Position, b: Position): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : Number(a.id > b.id));
}
const DAY_S = 86_400;
/** Verifying every signature costs the receiver: more than two live secrets help nobody. */
const MAX_SECRETS = 2;
/** Each event makes a delivery for each webhook. */
const MAX_OF_KEY = 20;
const MAX_WEBHOOKS = 200;

export function webhooks(app: ApiApp, { store, vault, clock, audit, egress }: ApiDeps): void {
  const tags = ['webhooks'];
  const judge = new Egress(egress);
  /** The mailboxes as stored; a key that opens only some cannot listen to others. */
  const scope = async (c: ApiContext, mailboxes: readonly string[]): Promise<readonly string[]> => {
    if (mailboxes.includes('*')) {
      if (mailboxesOf(c) === undefined) return ['*'];
      throw apiError('api.forbidden', 'this key opens only some mailboxes; name those the webhook is for');
    }
    return Promise.all(mailboxes.map(async (one) => (await mailboxFor(c, store, one)).address));
  };
  const shown = async (row: Webhook) => {
    const secrets = await openSecrets(vault, row, clock.now());
    const { id, apiKeyId, url, types, mailboxes, state, createdAt } = row;
    return {
      id,
      apiKeyId: apiKeyId ?? null,
      url,
      types: [...types],
      mailboxes: [...mailboxes],
      enabled: state.type === 'enabled',
      disabled: state.type === 'enabled' ? null : { since: iso(state.since), reason: state.reason },
      secrets: secrets.map(({ expiresAt }) => ({ expiresAt: isoOrNull(expiresAt) })),
      createdAt: iso(createdAt),
    };
  };
  const withNew = (secrets: readonly WebhookSecret[], fresh: WebhookSecret): readonly WebhookSecret[] =>
    [fresh, ...secrets].slice(0, MAX_SECRETS);

  app.openAPIRegistry.registerWebhook({
    method: 'post',
    path: 'event',
    operationId: 'receiveEvent',
    summary: 'What a receiver gets: Standard Webhooks',
    tags,
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
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/webhooks',
      operationId: 'listWebhooks',
      security: [{ key: ['webhooks:read'] }],
      summary: 'Webhooks this key may see',
      tags,
      request: { query: pageQuery },
      responses: { 200: json(pageOf(webhookSchema), 'oldest first'), ...problems },
    }),
    async (c) => {
      const { limit, cursor } = c.req.valid('query');
      const after = readCursor(cursor, position);
      const rows = (await store.webhooks.list())
        .filter((row) => isOpen(c, row) && (after === undefined || byAge(row, after) > 0))
        .toSorted(byAge);
      const { items, next } = page(rows, limit, ({ createdAt, id }) => ({ createdAt, id }), shown);
      return c.json({ items: await Promise.all(items), next }, 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/webhooks',
      operationId: 'createWebhook',
      security: [{ key: ['webhooks:write'] }],
      summary: 'Be told of events from now on',
      tags,
      request: { body: jsonBody(z.object({ url, types: types.default([]), mailboxes: mailboxList.default(['*']) })) },
      responses: { 201: json(withSecret, 'with the secret its signatures are made with'), ...problems },
    }),
    async (c) => {
      // What is told by a webhook might as well be read.
      const key = allowed(c, 'events:read');
      const body = c.req.valid('json');
      const mailboxes = await scope(c, body.mailboxes);
      judge.check(body.url);
      const id = newId('whk');
      const secret = newWebhookSecret();
      const row: Webhook = {
        id,
        apiKeyId: key.id,
        url: body.url,
        types: body.types,
        mailboxes,
        secrets: await sealSecrets(vault, id, [{ secret, expiresAt: undefined }]),
        state: { type: 'enabled' },
        cursor: await store.outbox.lastEvent(),
        createdAt: clock.now(),
      };
      if (!(await store.webhooks.insert(row, { ofKey: MAX_OF_KEY, all: MAX_WEBHOOKS })))
        throw apiError(
          'api.too-many-webhooks',
          `a key has at most ${MAX_OF_KEY} webhooks, an installation ${MAX_WEBHOOKS}`,
        );
      await recordChange(c, audit, 'webhook.created', { id, url: body.url, mailboxes });
      return c.json({ ...(await shown(row)), secret: secret.reveal() }, 201);
    },
  );
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/webhooks/{id}',
      operationId: 'getWebhook',
      security: [{ key: ['webhooks:read'] }],
      summary: 'One webhook',
      tags,
      request: { params: byId },
      responses: { 200: json(webhookSchema, 'the webhook'), ...problems },
    }),
    async (c) => {
      return c.json(await shown(await webhookFor(c, store, c.req.valid('param').id)), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'patch',
      path: '/v1/webhooks/{id}',
      operationId: 'updateWebhook',
      security: [{ key: ['webhooks:write'] }],
      summary: 'Change where it goes or what it is told of, stop it, or let it go on',
      tags,
      request: {
        params: byId,
        body: jsonBody(z.object({ url, types, mailboxes: mailboxList, enabled: z.boolean() }).partial().strict()),
      },
      responses: { 200: json(webhookSchema, 'as it is now'), ...problems },
    }),
    async (c) => {
      const key = allowed(c, 'events:read');
      const { id } = await webhookFor(c, store, c.req.valid('param').id);
      const { url: to, types: what, mailboxes: of, enabled } = c.req.valid('json');
      if (to !== undefined) judge.check(to);
      const off = {
        type: 'disabled',
        since: clock.now(),
        reason: `switched off by the key ${c.get('key').id}`,
      } as const;
      // Whoever says where it goes answers for it from then on: it ends with that key.
      const row = await store.webhooks.update(id, {
        apiKeyId: key.id,
        ...(to === undefined ? {} : { url: to }),
        ...(what === undefined ? {} : { types: what }),
        ...(of === undefined ? {} : { mailboxes: await scope(c, of) }),
        ...(enabled === undefined ? {} : { state: enabled ? { type: 'enabled' } : off }),
      });
      if (!row) throw unknown(id);
      await recordChange(c, audit, 'webhook.changed', { id, fields: Object.keys(c.req.valid('json')), url: row.url });
      return c.json(await shown(row), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/webhooks/{id}',
      operationId: 'deleteWebhook',
      security: [{ key: ['webhooks:write'] }],
      summary: 'Remove a webhook with its log',
      tags,
      request: { params: byId },
      responses: { ...gone, ...problems },
    }),
    async (c) => {
      const { id } = await webhookFor(c, store, c.req.valid('param').id);
      if (!(await store.webhooks.remove(id))) throw unknown(id);
      await recordChange(c, audit, 'webhook.removed', { id });
      return c.body(null, 204);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/webhooks/{id}/rotate',
      operationId: 'rotateWebhookSecret',
      security: [{ key: ['webhooks:write'] }],
      summary: 'A new secret; the one before signs as well for a while',
      tags,
      request: {
        params: byId,
        body: jsonBody(
          z.object({
            overlapSeconds: z
              .int()
              .min(0)
              .max(30 * DAY_S)
              .default(DAY_S)
              .openapi({ description: 'how long the secret before it stays alive' }),
          }),
        ),
      },
      responses: { 200: json(withSecret, 'with the new secret'), ...problems },
    }),
    async (c) => {
      allowed(c, 'events:read');
      const row = await webhookFor(c, store, c.req.valid('param').id);
      const now = clock.now();
      const end = now + c.req.valid('json').overlapSeconds * 1000;
      const old = (await openSecrets(vault, row, now)).map(({ secret, expiresAt }) => ({
        secret,
        expiresAt: Math.min(expiresAt ?? end, end),
      }));
      const secret = newWebhookSecret();
      const secrets = await sealSecrets(vault, row.id, withNew(old, { secret, expiresAt: undefined }));
      const changed = await store.webhooks.update(row.id, { secrets });
      if (!changed) throw unknown(row.id);
      await recordChange(c, audit, 'webhook.secret-rotated', { id: row.id });
      return c.json({ ...(await shown(changed)), secret: secret.reveal() }, 200);
    },
  );
}

/** A webhook is seen by keys that open everything it tells of. @throws api.not-found */
export async function webhookFor(c: ApiContext, store: ApiDeps['store'], id: string): Promise<Webhook> {
  const row = await store.webhooks.find(id);
  if (row && isOpen(c, row)) return row;
  throw unknown(id);
}

function isOpen(c: ApiContext, { mailboxes }: Webhook): boolean {
  return mailboxes.includes('*') ? mailboxesOf(c) === undefined : mailboxes.every((one) => mayUse(c, one));
}

function unknown(id: string): Error {
  return apiError('api.not-found', `there is no webhook ${id} for this key`);
}
