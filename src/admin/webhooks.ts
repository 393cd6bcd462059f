/** Webhooks: which receivers get which events, signed with which secrets; and the log of what was sent. */
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import type { Secret } from '../base/secret.ts';
import { testDelivery, webhookDeadline } from '../outbox/webhook/dispatch.ts';
import { Egress, type EgressPolicy } from '../outbox/webhook/egress.ts';
import { newWebhookSecret, openSecrets, sealSecrets, type WebhookSecret } from '../outbox/webhook/signature.ts';
import { newId } from '../store/id.ts';
import type { Webhook, WebhookDelivery } from '../store/types-api.ts';
import { MESSAGE_EVENTS } from '../store/types-outbox.ts';
import type { Store } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';
import { act, type ActDeps, type Desk, pageOf } from './act.ts';
import { nameOf } from './actor.ts';
import { adminError } from './errors.ts';
import { addressesOf, seenBy } from './find.ts';
import { limit, text, time } from './schema.ts';

interface WebhookDeps extends ActDeps {
  readonly vault: Vault;
  readonly clock: Clock;
  /** Where webhooks may go. */
  readonly egress: EgressPolicy;
}

/** A webhook as people see it. */
export type ShownWebhook = Omit<Webhook, 'secrets'> & {
  /** Ends of its live secrets, the newest first. */
  readonly ends: readonly (number | undefined)[];
};
type WithSecret = ShownWebhook & { readonly secret: Secret };

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
export const url = text(2000).meta({ example: 'https://example.com/hooks/mail' });
const byId = z.object({ id: text(60) });
const byDelivery = byId.extend({ delivery: text(60) });
/** Where a page ends: a place in the order, which stays when the webhook that stood there is removed. */
const position = z.object({ createdAt: z.number(), id: z.string() });
type Position = z.infer<typeof position>;
export const DELIVERY_STATES = ['pending', 'delivered', 'failed'] as const;
const DAY_S = 86_400;
/** Verifying every signature costs the receiver: more than two live secrets help nobody. */
const MAX_SECRETS = 2;

export const listWebhooks = act({
  name: 'webhooks.list',
  summary: 'Webhooks this key may see',
  permission: 'webhooks:read',
  input: z.object({ limit, after: position.optional() }),
  async run(desk: Desk<WebhookDeps>, { limit, after }) {
    const rows = (await desk.store.webhooks.list())
      .filter((row) => seenBy(desk.actor, row) && (after === undefined || byAge(row, after) > 0))
      .toSorted(byAge);
    return pageOf(limit, (most) => Promise.all(rows.slice(0, most).map((row) => shown(desk, row))));
  },
});

export const createWebhook = act({
  name: 'webhooks.create',
  summary: 'Create a webhook: it receives events from now on',
  permission: 'webhooks:write',
  input: z.object({ url, types: types.default([]), mailboxes: mailboxes.default(['*']) }),
  scope: ({ mailboxes }) => mailboxes,
  what: 'webhook.created',
  async run(desk: Desk<WebhookDeps>, { url, types, mailboxes }): Promise<WithSecret> {
    const { store, vault, clock, egress } = desk;
    new Egress(egress).check(url);
    const id = newId('whk');
    const secret = newWebhookSecret();
    const row: Webhook = {
      id,
      url,
      types,
      mailboxes: addressesOf(desk, mailboxes),
      secrets: await sealSecrets(vault, id, [{ secret, expiresAt: undefined }]),
      state: { type: 'enabled' },
      cursor: await store.outbox.lastEvent(),
      createdAt: clock.now(),
    };
    await store.webhooks.insert(row);
    return { ...(await shown(desk, row)), secret };
  },
  record: ({ id, url, mailboxes }) => [{ data: { id, url, mailboxes } }],
});

export const getWebhook = act({
  name: 'webhooks.get',
  summary: 'One webhook',
  permission: 'webhooks:read',
  input: byId,
  run: async (desk: Desk<WebhookDeps>, { id }) => shown(desk, await find(desk, id)),
});

export const updateWebhook = act({
  name: 'webhooks.update',
  summary: 'Change its address, events or mailboxes; disable or enable it',
  permission: 'webhooks:write',
  input: z.object({ url, types, mailboxes, enabled: z.boolean() }).partial().extend(byId.shape).strict(),
  scope: ({ mailboxes = [] }) => mailboxes,
  what: 'webhook.changed',
  async run(desk: Desk<WebhookDeps>, { id, url, types, mailboxes, enabled }) {
    const { store, clock, egress, actor } = desk;
    await find(desk, id);
    if (url !== undefined) new Egress(egress).check(url);
    const off = { type: 'disabled', since: clock.now(), reason: `switched off by ${nameOf(actor)}` } as const;
    const row = await store.webhooks.update(id, {
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
    await find(desk, id);
    if (!(await desk.store.webhooks.remove(id))) throw unknown(id);
  },
  record: (_, { id }) => [{ data: { id } }],
});

export const rotateWebhookSecret = act({
  name: 'webhooks.rotate-secret',
  summary: 'A new secret; the one before signs as well for a while',
  permission: 'webhooks:write',
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
    const { store, vault, clock } = desk;
    const row = await find(desk, id);
    const now = clock.now();
    const end = now + overlapSeconds * 1000;
    const secret = newWebhookSecret();
    const fresh: WebhookSecret = { secret, expiresAt: undefined };
    const old = (await openSecrets(vault, row, now)).map((one) => ({
      ...one,
      expiresAt: Math.min(one.expiresAt ?? end, end),
    }));
    const secrets = await sealSecrets(vault, id, [fresh, ...old].slice(0, MAX_SECRETS));
    const changed = await store.webhooks.update(id, { secrets });
    if (!changed) throw unknown(id);
    return { ...(await shown(desk, changed)), secret };
  },
  record: (_, { id }) => [{ data: { id } }],
});

export const listWebhookDeliveries = act({
  name: 'webhooks.deliveries',
  summary: 'What was sent, newest first, with every try',
  permission: 'webhooks:read',
  input: byId.extend({ limit, after: z.int().optional(), state: z.enum(DELIVERY_STATES).optional() }),
  async run(desk: Desk<WebhookDeps>, { id, limit, after, state }) {
    await find(desk, id);
    return pageOf(limit, (most) => desk.store.webhooks.deliveries(id, { limit: most, state, before: after }));
  },
});

export const getWebhookDelivery = act({
  name: 'webhooks.delivery',
  summary: 'One delivery',
  permission: 'webhooks:read',
  input: byDelivery,
  async run(desk: Desk<WebhookDeps>, { id, delivery }) {
    await find(desk, id);
    return findDelivery(desk.store, id, delivery);
  },
});

export const replayWebhookDelivery = act({
  name: 'webhooks.replay-delivery',
  summary: 'Send one delivery again',
  permission: 'webhooks:write',
  input: byDelivery,
  what: 'webhook.replayed',
  async run(desk: Desk<WebhookDeps>, { id, delivery }) {
    const { store, clock } = desk;
    await find(desk, id);
    const now = clock.now();
    const count = await store.webhooks.replay(id, { id: delivery }, { now, deadline: webhookDeadline(now) });
    return { count, row: await findDelivery(store, id, delivery) };
  },
  record: ({ count }, { id, delivery }) => (count > 0 ? [{ data: { id, deliveryId: delivery } }] : []),
});

export const replayWebhook = act({
  name: 'webhooks.replay',
  summary: 'Send again what failed, or everything, since a moment',
  permission: 'webhooks:write',
  input: byId.extend({ since: time, state: z.enum(['failed', 'delivered']).default('failed') }),
  what: 'webhook.replayed',
  async run(desk: Desk<WebhookDeps>, { id, since, state }) {
    await find(desk, id);
    const now = desk.clock.now();
    const which = { state, since: Date.parse(since) };
    return { count: await desk.store.webhooks.replay(id, which, { now, deadline: webhookDeadline(now) }) };
  },
  record: ({ count }, { id, since, state }) => [{ data: { id, state, since, count } }],
});

export const testWebhook = act({
  name: 'webhooks.test',
  summary: 'Send an event of type webhook.test',
  permission: 'webhooks:write',
  input: byId,
  what: 'webhook.tested',
  async run(desk: Desk<WebhookDeps>, { id }) {
    await find(desk, id);
    const delivery = testDelivery(id, desk.clock.now());
    await desk.store.webhooks.add(id, delivery);
    return findDelivery(desk.store, id, delivery.id);
  },
  record: (delivery, { id }) => [{ data: { id, deliveryId: delivery.id } }],
});

async function shown({ vault, clock }: WebhookDeps, { secrets, ...row }: Webhook): Promise<ShownWebhook> {
  const live = await openSecrets(vault, { id: row.id, secrets }, clock.now());
  return { ...row, ends: live.map(({ expiresAt }) => expiresAt) };
}

async function find({ store, actor }: Desk<ActDeps>, id: string): Promise<Webhook> {
  const row = await store.webhooks.find(id);
  if (row && seenBy(actor, row)) return row;
  throw unknown(id);
}

async function findDelivery(store: Store, id: string, delivery: string): Promise<WebhookDelivery> {
  const row = await store.webhooks.findDelivery(id, delivery);
  if (row) return row;
  throw adminError('admin.not-found', `there is no delivery ${delivery}`);
}

const unknown = (id: string): Error => adminError('admin.not-found', `there is no webhook ${id} for this key`);

function byAge(a: Position, b: Position): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : Number(a.id > b.id));
}
