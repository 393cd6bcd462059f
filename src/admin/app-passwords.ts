/** App passwords: one for each program. */
import { z } from 'zod';
import { createAppPassword, revokeAppPassword as revoke } from '../access/app-password.ts';
import type { GivenDeps } from '../access/given.ts';
import { PROTOCOLS } from '../store/protocols.ts';
import { act, type Desk } from './act.ts';
import { addressesOf, findGiven, listGiven, waitingOf } from './find.ts';
import { givenName, givenQuery } from './schema.ts';

export const listAppPasswords = act({
  name: 'app-passwords.list',
  summary: 'App passwords, without the passwords',
  permission: 'app-passwords:read',
  input: givenQuery,
  run: async (desk: Desk<GivenDeps>, { all }) => listGiven(desk, await desk.store.appPasswords.list(), all),
});

export const addAppPassword = act({
  name: 'app-passwords.add',
  summary: 'Make an app password; it is shown once',
  permission: 'app-passwords:write',
  input: z.object({
    label: z.string(),
    mailboxes: z.array(z.string()).min(1).readonly(),
    protocols: z.array(z.enum(PROTOCOLS)).min(1).readonly(),
    networks: z.array(z.string()).readonly().default([]),
    outgoing: z.enum(['direct', 'outbox']).optional(),
    dropOwnSentCopy: z.boolean().optional(),
    /** Milliseconds. */
    lifetime: z.number().optional(),
  }),
  scope: ({ mailboxes }) => mailboxes,
  audits: 'app-password.created',
  run: (desk: Desk<GivenDeps>, { lifetime, mailboxes, ...asked }) =>
    createAppPassword(desk, {
      ...asked,
      mailboxes: addressesOf(desk, mailboxes),
      expiresAt: lifetime === undefined ? undefined : desk.clock.now() + lifetime,
    }),
});

export const revokeAppPassword = act({
  name: 'app-passwords.revoke',
  summary: 'Make an app password invalid and end its sessions within seconds',
  permission: 'app-passwords:write',
  input: givenName,
  audits: 'app-password.revoked',
  async run(desk: Desk<GivenDeps>, { name }) {
    const row = findGiven(desk.actor, await desk.store.appPasswords.list(), name, {
      kind: 'app password',
      list: 'postern password list',
    });
    await revoke(desk, row.id);
    return { ...row, waiting: await waitingOf(desk, row.id) };
  },
});
