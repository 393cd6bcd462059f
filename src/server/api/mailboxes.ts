/** `/v1/mailboxes`: what mail is sent through, and how it is doing. */
import { createRoute, z } from '@hono/zod-openapi';
import { address, time } from '../../admin/schema.ts';
import { HEALTH_NAMES, mailboxHealth } from '../../oauth/health.ts';
import type { OutboxStats } from '../../store/types-outbox.ts';
import { PROTOCOLS, type Mailbox } from '../../store/types.ts';
import { surveyGrants, type SurveyedGrant } from '../survey.ts';
import type { ApiApp } from './app.ts';
import { apiError } from './errors.ts';
import { type ApiDeps, mailboxesOf, mailboxFor, recordChange } from './request.ts';
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
  holdReason,
} from './schema.ts';

const mailboxSchema = z
  .object({
    address,
    provider: z.string().nullable(),
    access: z.string().openapi({ description: 'own, shared, or by application' }),
    protocols: z.array(z.enum(PROTOCOLS)),
    outgoing: z.enum(['direct', 'outbox']).openapi({ description: 'how mail of SMTP programs leaves' }),
    state: z.object({
      type: z.enum(HEALTH_NAMES),
      reason: z.string().optional(),
      remedy: z.string().optional(),
      at: time.nullable().optional().openapi({ description: 'when mail stops, or has stopped' }),
    }),
    held: z.object({ since: time, by: z.string(), reason: z.string() }).nullable(),
    createdAt: time,
  })
  .openapi('Mailbox');
const withQueue = mailboxSchema
  .extend({
    queue: z.object({ queued: z.int(), sending: z.int(), held: z.int(), oldestDueAt: time.nullable() }),
  })
  .openapi('MailboxWithQueue');
const byAddress = z.object({ address });
const heldSetting = z.object({ since: z.number(), by: z.string(), reason: z.string() });

export function mailboxes(app: ApiApp, { store, clock, outbox, audit }: ApiDeps): void {
  const tags = ['mailboxes'];
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/mailboxes',
      operationId: 'listMailboxes',
      security: [{ key: ['mailboxes:read'] }],
      summary: 'Mailboxes this key may use, with their state',
      tags,
      request: { query: pageQuery },
      responses: { 200: json(pageOf(mailboxSchema), 'by address'), ...problems },
    }),
    async (c) => {
      const { limit, cursor } = c.req.valid('query');
      const after = readCursor(cursor, z.string()) ?? '';
      const own = mailboxesOf(c);
      const survey = await surveyGrants(store, clock.now());
      const rows = survey.mailboxes
        .filter((row) => row.address > after && (own?.includes(row.address) ?? true))
        .toSorted((a, b) => (a.address < b.address ? -1 : 1));
      const item = (row: Mailbox) => shown(row, survey.grants.get(row.grantId));
      return c.json(
        page(rows, limit, (row) => row.address, item),
        200,
      );
    },
  );
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/mailboxes/{address}',
      operationId: 'getMailbox',
      security: [{ key: ['mailboxes:read'] }],
      summary: 'One mailbox, with what waits in its queue',
      tags,
      request: { params: byAddress },
      responses: { 200: json(withQueue, 'the mailbox'), ...problems },
    }),
    async (c) => {
      const row = await mailboxFor(c, store, c.req.valid('param').address);
      const [survey, stats] = await Promise.all([surveyGrants(store, clock.now()), outbox.stats(row.address)]);
      return c.json({ ...shown(row, survey.grants.get(row.grantId)), queue: queueOf(stats) }, 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/mailboxes/{address}/hold',
      operationId: 'holdMailbox',
      security: [{ key: ['messages:write'] }],
      summary: 'Send nothing of this mailbox until it is released',
      tags,
      request: { params: byAddress, body: jsonBody(z.object({ reason: holdReason })) },
      responses: { ...gone, ...problems },
    }),
    async (c) => {
      const key = c.get('key');
      const row = await mailboxFor(c, store, c.req.valid('param').address);
      const { reason } = c.req.valid('json');
      await outbox.holdMailbox(row.address, key.id, reason);
      await recordChange(c, audit, 'mailbox.held', { reason }, row.address);
      return c.body(null, 204);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/mailboxes/{address}/release',
      operationId: 'releaseMailbox',
      security: [{ key: ['messages:write'] }],
      summary: 'Send again',
      tags,
      request: { params: byAddress },
      responses: { ...gone, ...problems },
    }),
    async (c) => {
      const row = await mailboxFor(c, store, c.req.valid('param').address);
      if (heldOf(row) === null) throw apiError('api.not-found', `${row.address} is not held`);
      await outbox.releaseMailbox(row.address);
      await recordChange(c, audit, 'mailbox.released', {}, row.address);
      return c.body(null, 204);
    },
  );
}

function shown(row: Mailbox, grant: SurveyedGrant | undefined) {
  const { address, access, protocols, createdAt, settings } = row;
  return {
    address,
    provider: grant?.application?.provider ?? null,
    access,
    protocols: [...protocols],
    outgoing: settings['outgoing'] === 'outbox' ? ('outbox' as const) : ('direct' as const),
    state: stateOf(row, grant),
    held: heldOf(row),
    createdAt: iso(createdAt),
  };
}

function stateOf(row: Mailbox, grant: SurveyedGrant | undefined) {
  const health = mailboxHealth(row, grant?.health) ?? {
    type: 'needs-consent' as const,
    reason: 'its grant is gone',
    remedy: '',
    since: 0,
  };
  if (health.type === 'healthy') return { type: health.type };
  const { type, reason, remedy } = health;
  return { type, reason, remedy, at: isoOrNull('at' in health ? health.at : health.since) };
}

function heldOf({ settings }: Mailbox) {
  const held = heldSetting.safeParse(settings['outboxHeld']);
  return held.success ? { ...held.data, since: iso(held.data.since) } : null;
}

function queueOf({ queued, sending, held, oldestDueAt }: OutboxStats) {
  return { queued, sending, held, oldestDueAt: isoOrNull(oldestDueAt) };
}
