/** `/v1/suppressions`: addresses that get no mail, from one mailbox or from all. */
import { createRoute, z } from '@hono/zod-openapi';
import { isAddress } from '../../outbox/address.ts';
import { type Suppression, SUPPRESSION_REASONS } from '../../store/types-api.ts';
import type { ApiApp } from './app.ts';
import { apiError } from './errors.ts';
import { type ApiDeps, mailboxesOf, mailboxFor, needEveryMailbox, recordChange, type ApiContext } from './request.ts';
import {
  address,
  gone,
  iso,
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

const mailbox = text(320).default('*').openapi({ description: 'the mailbox it is for; `*` for all', example: '*' });
const facts = z.object({
  address: address.refine(isAddress, 'is no address'),
  mailbox,
  reason: z.enum(SUPPRESSION_REASONS).default('manual'),
  note: text(1000).optional().openapi({ description: 'what led to it' }),
});
const suppressionSchema = facts.extend({ createdAt: time }).openapi('Suppression');
const byAddress = z.object({ address });
const position = z.object({ address: z.string(), mailbox: z.string() });
/** One statement each, but a request that took minutes would be given up by its client. */
const MAX_AT_ONCE = 1000;

export function suppressions(app: ApiApp, { store, clock, audit }: ApiDeps): void {
  const tags = ['suppressions'];
  const scope = async (c: ApiContext, of: string): Promise<string> => {
    if (of !== '*') return (await mailboxFor(c, store, of)).address;
    needEveryMailbox(c, 'suppressions for all mailboxes');
    return of;
  };
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/suppressions',
      operationId: 'listSuppressions',
      security: [{ key: ['suppressions:read'] }],
      summary: 'Suppressed addresses',
      tags,
      request: { query: pageQuery.extend({ address: address.optional(), mailbox: text(320).optional() }) },
      responses: { 200: json(pageOf(suppressionSchema), 'by address'), ...problems },
    }),
    async (c) => {
      const { limit, cursor, address: only, mailbox: of } = c.req.valid('query');
      const after = readCursor(cursor, position);
      // What holds for all mailboxes holds for the key's.
      const own = mailboxesOf(c);
      const mailboxes = of === undefined ? own && [...own, '*'] : [of === '*' ? of : await scope(c, of)];
      const rows = await store.suppressions.list({
        limit: limit + 1,
        ...(mailboxes ? { mailboxes } : {}),
        ...(only === undefined ? {} : { address: only }),
        ...(after ? { after } : {}),
      });
      return c.json(
        page(rows, limit, (row) => ({ address: row.address, mailbox: row.mailbox }), shown),
        200,
      );
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/suppressions',
      operationId: 'addSuppressions',
      security: [{ key: ['suppressions:write'] }],
      summary: 'Suppress addresses',
      tags,
      request: { body: jsonBody(z.object({ items: z.array(facts).min(1).max(MAX_AT_ONCE) })) },
      responses: {
        200: json(z.object({ added: z.int(), changed: z.int() }), 'how many are new, how many were there'),
        ...problems,
      },
    }),
    async (c) => {
      const { items } = c.req.valid('json');
      const scopes = new Map<string, string>();
      for (const { mailbox: of } of items) if (!scopes.has(of)) scopes.set(of, await scope(c, of));
      let added = 0;
      for (const { address: who, mailbox: of, reason, note } of items) {
        const row = { address: who, mailbox: scopes.get(of)!, reason, note, createdAt: clock.now() };
        if (await store.suppressions.put(row)) added += 1;
      }
      await recordChange(c, audit, 'suppressions.added', { count: items.length });
      return c.json({ added, changed: items.length - added }, 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/suppressions/{address}',
      operationId: 'removeSuppression',
      security: [{ key: ['suppressions:write'] }],
      summary: 'Let an address get mail again',
      tags,
      request: { params: byAddress, query: z.object({ mailbox }) },
      responses: { ...gone, ...problems },
    }),
    async (c) => {
      const { address: who } = c.req.valid('param');
      const of = await scope(c, c.req.valid('query').mailbox);
      if (!(await store.suppressions.remove(who, of)))
        throw apiError('api.not-found', `${who} is not suppressed for ${of}`);
      await recordChange(c, audit, 'suppression.removed', { address: who, mailbox: of });
      return c.body(null, 204);
    },
  );
}

function shown({ address, mailbox, reason, note, createdAt }: Suppression) {
  return { address, mailbox, reason, ...(note === undefined ? {} : { note }), createdAt: iso(createdAt) };
}
