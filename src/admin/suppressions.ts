/** Addresses that get no mail, from one mailbox or from all. */
import { foldCase } from '../base/case.ts';
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { isAddress } from '../outbox/address.ts';
import { type Suppression, SUPPRESSION_REASONS } from '../store/types-api.ts';
import { act, type ActDeps, type Desk, pageOf } from './act.ts';
import { mailboxesOf } from './actor.ts';
import { adminError } from './errors.ts';
import { address, limit, moment, text } from './schema.ts';

const mailbox = text(320).default('*').meta({ description: 'the mailbox it is for; `*` for all', example: '*' });
const suppressionInput = z.object({
  address: address.refine(isAddress, 'is no address'),
  mailbox,
  reason: z.enum(SUPPRESSION_REASONS).default('manual'),
  note: text(1000).optional().meta({ description: 'what led to it' }),
});
const suppression = suppressionInput.extend({ createdAt: moment }).meta({ id: 'Suppression' });
/** One statement each, but a request that took minutes would be given up by its client. */
const MAX_AT_ONCE = 1000;

export const listSuppressions = act({
  name: 'suppressions.list',
  summary: 'Suppressed addresses',
  permission: 'suppressions:read',
  gives: suppression,
  input: z.object({
    limit,
    after: z.object({ address: z.string(), mailbox: z.string() }).optional(),
    address: address.optional(),
    /** `*`: what is for all of them. Missing: everything there is for the actor's mailboxes. */
    mailboxes: z.array(text(320)).optional(),
  }),
  // What holds for all mailboxes holds for the actor's.
  scope: ({ mailboxes = [] }) => mailboxes.filter((one) => one !== '*'),
  run({ store, actor, mailboxes }: Desk<ActDeps>, { limit, after, address, mailboxes: asked }) {
    const named = asked ? mailboxes.map((one) => one.address) : mailboxesOf(actor);
    const of = named && (!asked || asked.includes('*') ? [...named, '*'] : named);
    return pageOf(limit, (most) => store.suppressions.list({ limit: most, mailboxes: of, address, after }));
  },
});

export const addSuppressions = act({
  name: 'suppressions.add',
  summary: 'Suppress addresses',
  permission: 'suppressions:write',
  gives: z.object({ added: z.int(), changed: z.int() }),
  input: z.object({ items: z.array(suppressionInput).min(1).max(MAX_AT_ONCE) }),
  scope: ({ items }) => items.map((one) => one.mailbox),
  what: 'suppressions.added',
  async run({ store, clock }: Desk<ActDeps & { readonly clock: Clock }>, { items }) {
    const rows = items.map(({ address, mailbox, reason, note }): Suppression => {
      return { address, mailbox: foldCase(mailbox), reason, note, createdAt: clock.now() };
    });
    let added = 0;
    for (const row of rows) if (await store.suppressions.put(row)) added += 1;
    return { rows, added, changed: rows.length - added };
  },
  record: ({ rows }) => [{ data: { count: rows.length } }],
});

export const removeSuppression = act({
  name: 'suppressions.remove',
  summary: 'Send to an address again',
  permission: 'suppressions:write',
  input: z.object({ address, mailbox }),
  scope: ({ mailbox }) => [mailbox],
  what: 'suppression.removed',
  async run({ store, mailboxes }: Desk<ActDeps>, { address }) {
    const mailbox = mailboxes[0]?.address ?? '*';
    if (!(await store.suppressions.remove(address, mailbox)))
      throw adminError('admin.not-found', `${address} is not suppressed for ${mailboxWords(mailbox)}`, {
        hint: 'postern suppression list shows for which mailbox it is',
      });
    return { address, mailbox };
  },
  record: (data) => [{ data }],
});

export const mailboxWords = (mailbox: string): string => (mailbox === '*' ? 'every mailbox' : mailbox);
