/** Webhooks: which receivers get which events, signed with which secrets; and the log of what was sent. */
import { z } from 'zod';
import { opens as ofKey, opensAll } from '../access/api-sign-in.ts';
import type { Clock } from '../base/clock.ts';
import type { Secret } from '../base/secret.ts';
import { isTold, testDelivery, webhookDeadline } from '../outbox/webhook/dispatch.ts';
import { Egress, type EgressPolicy } from '../outbox/webhook/egress.ts';
import { newWebhookSecret, openSecrets, sealSecrets, type WebhookSecret } from '../outbox/webhook/signature.ts';
import { rightLost } from '../outbox/webhook/owner.ts';
import { newId } from '../store/id.ts';
import type { Webhook, WebhookDelivery } from '../store/types-api.ts';
import { MESSAGE_EVENTS } from '../store/types-outbox.ts';
import type { Vault } from '../vault/types.ts';
import { act, type ActDeps, type Desk, pageOf } from './act.ts';
import { type Actor, mailboxesOf, nameOf, opens, opensAllOf, requirePermission } from './actor.ts';
import { adminError } from './errors.ts';
import { addressesOf } from './find.ts';
import { limit, moment, shownAs, text, time } from './schema.ts';

interface WebhookDeps extends ActDeps {
  readonly vault: Vault;
  readonly clock: Clock;
}
interface EgressDeps extends WebhookDeps {
  /** Where webhooks may go. */
  readonly egress: EgressPolicy;
}

export const WEBHOOK_TYPES = MESSAGE_EVENTS.map((type) => `message.${type}` as const);
const types = z
  .array(z.enum(WEBHOOK_TYPES))
  .max(100)
  .meta({ description: 'events it is told of; empty: all', example: ['message.sent', 'message.failed'] });
const mailboxes = z
  .array(text(320))
  .min(1)
  .max(1000)
  .meta({ description: 'mailboxes whose events it is told of; `*`: all', example: ['*'] });
const url = text(2000).meta({ example: 'https://example.com/hooks/mail' });
/** A webhook as people see it. */
export const shownWebhook = z
  .object({
    id: z.string(),
    apiKeyId: z.string().nullable().meta({
      description: 'the key it belongs to: that which made it, or changed it last; it is switched off with that key',
    }),
    url,
    types: z.array(z.string()).readonly(),
    mailboxes: z.array(z.string()).readonly(),
    enabled: z.boolean(),
    disabled: z.object({ since: moment, reason: z.string() }).nullable(),
    secrets: z
      .array(z.object({ expiresAt: moment.nullable() }))
      .meta({ description: 'live secrets, the newest first, without their values' }),
    createdAt: moment,
  })
  .meta({ id: 'Webhook' });
type ShownWebhook = z.output<typeof shownWebhook>;
/** Shown this once. */
export const webhookWithSecret = shownWebhook
  .extend({
    secret: shownAs(z.string(), (secret: Secret) => secret.reveal()).meta({
      description: 'shown once',
      example: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    }),
  })
  .meta({ id: 'WebhookWithSecret' });
type WithSecret = z.output<typeof webhookWithSecret>;
export const DELIVERY_STATES = ['pending', 'delivered', 'failed'] as const;
const shownDelivery = z
  .object({
    id: z.string(),
    eventId: z.string().meta({ description: 'webhook-id: the same for every try and replay' }),
    type: z.string(),
    orderingKey: z.string().meta({ description: 'deliveries of one key arrive in order' }),
    state: z.enum(DELIVERY_STATES),
    payload: z.string().meta({ description: 'JSON, as it is signed and sent' }),
    attempts: z
      .array(
        z.object({
          at: moment,
          tookMs: z.number(),
          status: z.int().optional().meta({ description: 'missing when there was no answer' }),
          problem: z.string().optional(),
        }),
      )
      .readonly(),
    createdAt: moment,
    nextAt: moment.nullable(),
    deadline: moment,
    finishedAt: moment.nullable(),
  })
  .meta({ id: 'WebhookDelivery' });
const byId = z.object({ id: text(60) });
const byDelivery = byId.extend({ delivery: text(60) });
/** Where a page ends: a place in the order, which stays when the webhook that stood there is removed. */
const position = z.object({ createdAt: z.number(), id: z.string() });
type Position = z.infer<typeof position>;
const DAY_S = 86_400;
/** Verifying every signature costs the receiver: more than two live secrets help nobody. */
const MAX_SECRETS = 2;
/** Each event makes a delivery for each webhook. */
const MAX_OF_KEY = 20;
const MAX_WEBHOOKS = 200;

export const listWebhooks = act({
  name: 'webhooks.list',
  summary: 'Webhooks this key may see',
  permission: 'webhooks:read',
  gives: shownWebhook,
  input: z.object({ limit, after: position.optional() }),
  async run(desk: Desk<WebhookDeps>, { limit, after }) {
    const rows = (await desk.store.webhooks.list())
      .filter((row) => opensAllOf(desk.actor, row) && (after === undefined || byAge(row, after) > 0))
      .toSorted(byAge);
    return pageOf(limit, (most) => Promise.all(rows.slice(0, most).map((row) => shown(desk, row))));
  },
});

export const createWebhook = act({
  name: 'webhooks.create',
  summary: 'Create a webhook: it receives events from now on',
  permission: 'webhooks:write',
  gives: webhookWithSecret,
  input: z.object({ url, types: types.default([]), mailboxes: mailboxes.default(['*']) }),
  scope: ({ mailboxes }) => mailboxes,
  what: 'webhook.created',
  async run(desk: Desk<EgressDeps>, { url, types, mailboxes }): Promise<WithSecret> {
    const { store, vault, clock, egress, actor } = desk;
    requireReading(actor);
    new Egress(egress).check(url);
    const id = newId('whk');
    const secret = newWebhookSecret();
    const row: Webhook = {
      id,
      apiKeyId: keyOf(actor),
      url,
      types,
      mailboxes: addressesOf(desk, mailboxes),
      secrets: await sealSecrets(vault, id, [{ secret, expiresAt: undefined }]),
      state: { type: 'enabled' },
      cursor: await store.outbox.lastEvent(),
      createdAt: clock.now(),
    };
    if (!(await store.webhooks.insert(row, { ofKey: MAX_OF_KEY, all: MAX_WEBHOOKS })))
      throw adminError(
        'admin.too-many-webhooks',
        `a key has at most ${MAX_OF_KEY} webhooks, an installation ${MAX_WEBHOOKS}`,
      );
    return { ...(await shown(desk, row)), secret };
  },
  record: ({ id, url, mailboxes }) => [{ data: { id, url, mailboxes } }],
});

export const getWebhook = act({
  name: 'webhooks.get',
  summary: 'One webhook',
  permission: 'webhooks:read',
  gives: shownWebhook,
  input: byId,
  run: async (desk: Desk<WebhookDeps>, { id }) => shown(desk, await find(desk, id)),
});

export const updateWebhook = act({
  name: 'webhooks.update',
  summary: 'Change its address, events or mailboxes; disable or enable it',
  permission: 'webhooks:write',
  gives: shownWebhook,
  input: z.object({ url, types, mailboxes, enabled: z.boolean() }).partial().extend(byId.shape).strict(),
  scope: ({ mailboxes = [] }) => mailboxes,
  what: 'webhook.changed',
  async run(desk: Desk<EgressDeps>, { id, url, types, mailboxes, enabled }) {
    const { store, clock, egress, actor } = desk;
    requireReading(actor);
    await find(desk, id);
    if (url !== undefined) new Egress(egress).check(url);
    const off = { type: 'disabled', since: clock.now(), reason: `switched off by ${nameOf(actor)}` } as const;
    const key = keyOf(actor);
    const row = await store.webhooks.update(id, {
      // Whoever says where it goes answers for it from then on: it ends with that key.
      ...(key === undefined ? {} : { apiKeyId: key }),
      ...(url === undefined ? {} : { url }),
      ...(types === undefined ? {} : { types }),
      ...(mailboxes === undefined ? {} : { mailboxes: addressesOf(desk, mailboxes) }),
      ...(enabled === undefined ? {} : { state: enabled ? { type: 'enabled' } : off }),
    });
    if (!row) throw unknown(id);
    return shown(desk, row);
  },
  record: ({ url }, { id, ...change }) => [{ data: { id, fields: Object.keys(change), url } }],
});

export const removeWebhook = act({
  name: 'webhooks.remove',
  summary: 'Remove a webhook with its log',
  permission: 'webhooks:write',
  input: byId,
  what: 'webhook.removed',
  async run(desk: Desk<WebhookDeps>, { id }) {
    requireReading(desk.actor);
    const found = await find(desk, id);
    if (!(await desk.store.webhooks.remove(id))) throw unknown(id);
    return found;
  },
  record: ({ id, url }) => [{ data: { id, url } }],
});

export const assignWebhook = act({
  name: 'webhooks.assign',
  summary: 'Give a webhook to another API key, and switch it on again',
  permission: 'api-keys:write',
  input: byId.extend({ key: text(60).meta({ description: 'id of the key' }) }),
  audits: 'api.changed',
  what: 'webhook.assigned',
  async run(desk: Desk<WebhookDeps>, { id, key: keyId }) {
    const { store, clock } = desk;
    const found = await find(desk, id);
    const key = await store.apiKeys.find(keyId);
    if (!key)
      throw adminError('admin.not-found', `there is no API key ${keyId}`, { hint: 'postern apikey list shows them' });
    const lost = rightLost({ ...found, apiKeyId: key.id }, key, clock.now());
    const closed =
      found.mailboxes.find((one) => !ofKey(key, one)) ?? 'every mailbox, and the webhook names none any more';
    if (lost !== undefined || !opensAll(key, found))
      throw adminError('admin.input', lost ?? `the API key ${key.id} does not open ${closed}`, {
        hint: 'choose a key that allows events:read and opens the mailboxes of the webhook: postern apikey list',
      });
    await store.webhooks.update(found.id, { apiKeyId: key.id, state: { type: 'enabled' } });
    return { id: found.id, url: found.url, key };
  },
  record: ({ id, url, key }) => [{ data: { id, url, assignedTo: key.id } }],
});

export const rotateWebhookSecret = act({
  name: 'webhooks.rotate-secret',
  summary: 'A new secret; the one before signs as well for a while',
  permission: 'webhooks:write',
  gives: webhookWithSecret,
  input: byId.extend({
    overlapSeconds: z
      .int()
      .min(0)
      .max(30 * DAY_S)
      .default(DAY_S)
      .meta({ description: 'how long the secret before it stays alive' }),
  }),
  what: 'webhook.secret-rotated',
  async run(desk: Desk<WebhookDeps>, { id, overlapSeconds }): Promise<WithSecret> {
    const { store, vault, clock, actor } = desk;
    requireReading(actor);
    const row = await find(desk, id);
    const now = clock.now();
    const end = now + overlapSeconds * 1000;
    const secret = newWebhookSecret();
    const key = keyOf(actor);
    const fresh: WebhookSecret = { secret, expiresAt: undefined };
    const old = (await openSecrets(vault, row, now)).map((one) => ({
      ...one,
      expiresAt: Math.min(one.expiresAt ?? end, end),
    }));
    const secrets = await sealSecrets(vault, id, [fresh, ...old].slice(0, MAX_SECRETS));
    const changed = await store.webhooks.update(id, {
      // As in updateWebhook: whoever holds the secret answers for it from then on.
      ...(key === undefined ? {} : { apiKeyId: key }),
      secrets,
    });
    if (!changed) throw unknown(id);
    return { ...(await shown(desk, changed)), secret };
  },
  record: (_, { id }) => [{ data: { id } }],
});

export const listWebhookDeliveries = act({
  name: 'webhooks.deliveries',
  summary: 'What was sent, newest first, with every try',
  permission: 'webhooks:read',
  gives: shownDelivery,
  input: byId.extend({ limit, after: z.int().optional(), state: z.enum(DELIVERY_STATES).optional() }),
  async run(desk: Desk<WebhookDeps>, { id, limit, after, state }) {
    requireReading(desk.actor);
    await find(desk, id);
    const mailboxes = mailboxesOf(desk.actor);
    return pageOf(limit, async (most) =>
      (await desk.store.webhooks.deliveries(id, { limit: most, state, before: after, mailboxes })).map(ended),
    );
  },
});

export const getWebhookDelivery = act({
  name: 'webhooks.delivery',
  summary: 'One delivery',
  permission: 'webhooks:read',
  gives: shownDelivery,
  input: byDelivery,
  async run(desk: Desk<WebhookDeps>, { id, delivery }) {
    requireReading(desk.actor);
    await find(desk, id);
    return findDelivery(desk, id, delivery);
  },
});

export const replayWebhookDelivery = act({
  name: 'webhooks.replay-delivery',
  summary: 'Send one delivery again',
  permission: 'webhooks:write',
  gives: shownDelivery,
  input: byDelivery,
  what: 'webhook.replayed',
  async run(desk: Desk<WebhookDeps>, { id, delivery }) {
    const { store, clock, actor } = desk;
    requireReading(actor);
    const webhook = await find(desk, id);
    const { mailbox } = await findDelivery(desk, id, delivery);
    if (!isTold(webhook, mailbox))
      throw adminError('admin.input', `the webhook ${id} is not told of ${mailbox} any more`, {
        hint: 'add the mailbox to the webhook before the delivery is sent again',
      });
    const now = clock.now();
    const count = await store.webhooks.replay(id, { id: delivery }, { now, deadline: webhookDeadline(now) });
    return { ...(await findDelivery(desk, id, delivery)), count };
  },
  record: ({ count }, { id, delivery }) => (count > 0 ? [{ data: { id, deliveryId: delivery } }] : []),
});

export const replayWebhook = act({
  name: 'webhooks.replay',
  summary: 'Send again what failed, or everything, since a moment',
  permission: 'webhooks:write',
  gives: z.object({ count: z.int() }),
  input: byId.extend({ since: time, state: z.enum(['failed', 'delivered']).default('failed') }),
  what: 'webhook.replayed',
  async run(desk: Desk<WebhookDeps>, { id, since, state }) {
    requireReading(desk.actor);
    const { mailboxes } = await find(desk, id);
    const now = desk.clock.now();
    const which = { state, since: Date.parse(since), mailboxes: [mailboxes, mailboxesOf(desk.actor)] };
    return { count: await desk.store.webhooks.replay(id, which, { now, deadline: webhookDeadline(now) }) };
  },
  record: ({ count }, { id, since, state }) => [{ data: { id, state, since, count } }],
});

export const testWebhook = act({
  name: 'webhooks.test',
  summary: 'Send an event of type webhook.test',
  permission: 'webhooks:write',
  gives: shownDelivery,
  input: byId,
  what: 'webhook.tested',
  async run(desk: Desk<WebhookDeps>, { id }) {
    requireReading(desk.actor);
    await find(desk, id);
    const delivery = testDelivery(id, desk.clock.now());
    await desk.store.webhooks.add(id, delivery);
    return findDelivery(desk, id, delivery.id);
  },
  record: (delivery, { id }) => [{ data: { id, deliveryId: delivery.id } }],
});

/** What is told by a webhook might as well be read. */
const requireReading = (actor: Actor): void => requirePermission(actor, 'events:read');

const keyOf = (actor: Actor): string | undefined => (actor.type === 'api-key' ? actor.key.id : undefined);

async function shown(
  { vault, clock }: WebhookDeps,
  { secrets, state, apiKeyId, ...row }: Webhook,
): Promise<ShownWebhook> {
  const live = await openSecrets(vault, { id: row.id, secrets }, clock.now());
  return {
    ...row,
    apiKeyId: apiKeyId ?? null,
    enabled: state.type === 'enabled',
    disabled: state.type === 'enabled' ? null : state,
    secrets: live.map(({ expiresAt }) => ({ expiresAt: expiresAt ?? null })),
  };
}

async function find({ store, actor }: Desk<ActDeps>, id: string): Promise<Webhook> {
  const row = await store.webhooks.find(id);
  if (row && opensAllOf(actor, row)) return row;
  throw unknown(id);
}

/** A webhook may have been told of mailboxes before which whoever sees it now does not open. */
async function findDelivery({ store, actor }: Desk<ActDeps>, id: string, delivery: string) {
  const row = await store.webhooks.findDelivery(id, delivery);
  if (row && (row.mailbox === undefined || opens(actor, row.mailbox))) return ended(row);
  throw adminError('admin.not-found', `there is no delivery ${delivery}`);
}

const ended = (row: WebhookDelivery) => ({ ...row, nextAt: row.nextAt ?? null, finishedAt: row.finishedAt ?? null });

const unknown = (id: string): Error => adminError('admin.not-found', `there is no webhook ${id} for this key`);

function byAge(a: Position, b: Position): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : Number(a.id > b.id));
}
