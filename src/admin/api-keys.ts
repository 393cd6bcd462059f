/** API keys: one for each application that uses the HTTP API. */
import { z } from 'zod';
import { createApiKey, revokeApiKey as revoke } from '../access/api-key.ts';
import type { GivenDeps } from '../access/given.ts';
import { disableWithoutRight } from '../outbox/webhook/owner.ts';
import { act, type Desk } from './act.ts';
import { addressesOf, findGiven, listGiven, waitingOf } from './find.ts';
import { givenName, givenQuery } from './schema.ts';

export const listApiKeys = act({
  name: 'api-keys.list',
  summary: 'API keys, without the keys',
  permission: 'api-keys:read',
  input: givenQuery,
  run: async (desk: Desk<GivenDeps>, { all }) => listGiven(desk, await desk.store.apiKeys.list(), all),
});

export const addApiKey = act({
  name: 'api-keys.add',
  summary: 'Make an API key; it is shown once',
  permission: 'api-keys:write',
  input: z.object({
    label: z.string(),
    actions: z.array(z.string()).readonly(),
    mailboxes: z.array(z.string()).min(1).readonly(),
    networks: z.array(z.string()).readonly().default([]),
    /** Requests a minute. */
    rate: z.int().min(1).max(1_000_000).optional(),
    /** Milliseconds. */
    lifetime: z.number().optional(),
  }),
  scope: ({ mailboxes }) => mailboxes,
  audits: 'api-key.created',
  run: (desk: Desk<GivenDeps>, { lifetime, mailboxes, ...asked }) =>
    createApiKey(desk, {
      ...asked,
      mailboxes: addressesOf(desk, mailboxes),
      expiresAt: lifetime === undefined ? undefined : desk.clock.now() + lifetime,
    }),
});

export const revokeApiKey = act({
  name: 'api-keys.revoke',
  summary: 'Make an API key invalid within seconds',
  permission: 'api-keys:write',
  input: givenName,
  audits: 'api-key.revoked',
  async run(desk: Desk<GivenDeps>, { name }) {
    const row = findGiven(desk.actor, await desk.store.apiKeys.list(), name, {
      kind: 'API key',
      list: 'postern apikey list',
    });
    await revoke(desk, row.id);
    const keys = new Map((await desk.store.apiKeys.list()).map((key) => [key.id, key]));
    const disabled = await disableWithoutRight(desk, await desk.store.webhooks.list(), keys);
    return { ...row, webhooksDisabled: disabled.map(({ id }) => id), waiting: await waitingOf(desk, row.id) };
  },
});
