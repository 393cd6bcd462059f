/** `/v1/mailboxes`: what mail is sent through, and how it is doing. */
import { z } from '@hono/zod-openapi';
import { getMailbox, holdMailbox, listMailboxes, releaseMailbox, type SurveyedMailbox } from '../../admin/mailboxes.ts';
import { address, time } from '../../admin/schema.ts';
import { HEALTH_NAMES, mailboxHealth } from '../../oauth/health.ts';
import { PROTOCOLS } from '../../store/protocols.ts';
import type { ActRoutes } from './acts.ts';
import { apiError } from './errors.ts';
import { iso, isoOrNull } from './schema.ts';

const mailboxSchema = z
  .object({
    address,
    provider: z.string().nullable(),
    access: z.string().openapi({ description: 'own, shared, or by application' }),
    protocols: z.array(z.enum(PROTOCOLS)),
    outgoing: z.enum(['direct', 'outbox']).openapi({ description: 'how mail of SMTP programs leaves' }),
    routes: z
      .array(z.string())
      .openapi({ description: 'how mail leaves the outbox, in the order to try; empty: as its provider has it' }),
    sendAs: z.array(z.string()).openapi({ description: 'further senders that its mail may have' }),
    state: z.object({
      type: z.enum(HEALTH_NAMES),
      reason: z.string().optional(),
      remedy: z.string().optional(),
      at: time.nullable().optional().openapi({ description: 'when mail stops, or has stopped' }),
    }),
    held: z.object({ since: time, by: z.string(), reason: z.string() }).nullable(),
    tried: z
      .partialRecord(
        z.enum(PROTOCOLS),
        z.object({ at: time, failure: z.object({ code: z.string(), reason: z.string() }).nullable() }),
      )
      .openapi({ description: 'what came of the last check or test of each protocol; empty: none since the consent' }),
    createdAt: time,
  })
  .openapi('Mailbox');
const withQueue = mailboxSchema
  .extend({
    queue: z.object({ queued: z.int(), sending: z.int(), held: z.int(), oldestDueAt: time.nullable() }),
  })
  .openapi('MailboxWithQueue');

export function mailboxes({ list, one }: ActRoutes): void {
  list(listMailboxes, 'listMailboxes', '/v1/mailboxes', {
    as: { schema: mailboxSchema, show: shown },
    says: 'by address',
    position: ({ mailbox }) => mailbox.address,
  });
  one(getMailbox, 'getMailbox', 'get /v1/mailboxes/{address}', {
    says: 'the mailbox',
    as: {
      schema: withQueue,
      show({ stats: { queued, sending, held, oldestDueAt }, ...row }) {
        return { ...shown(row), queue: { queued, sending, held, oldestDueAt: isoOrNull(oldestDueAt) } };
      },
    },
  });
  one(holdMailbox, 'holdMailbox', 'post /v1/mailboxes/{address}/hold');
  one(releaseMailbox, 'releaseMailbox', 'post /v1/mailboxes/{address}/release', ({ address, wasHeld }) => {
    if (!wasHeld) throw apiError('api.not-found', `${address} is not held`);
  });
}

function shown({ mailbox, surveyed }: SurveyedMailbox) {
  const { address, access, protocols, createdAt, settings, tried = {} } = mailbox;
  const held = settings.outboxHeld;
  return {
    address,
    provider: surveyed?.application?.provider ?? null,
    access,
    protocols: [...protocols],
    outgoing: settings.outgoing ?? ('direct' as const),
    routes: [...(settings.routes ?? [])],
    sendAs: [...(settings.sendAs ?? [])],
    state: stateOf({ mailbox, surveyed }),
    held: held ? { ...held, since: iso(held.since) } : null,
    tried: Object.fromEntries(
      Object.entries(tried).map(([protocol, { at, failure }]) => [protocol, { at: iso(at), failure: failure ?? null }]),
    ),
    createdAt: iso(createdAt),
  };
}

function stateOf({ mailbox, surveyed }: SurveyedMailbox) {
  const health = mailboxHealth(mailbox, surveyed?.health) ?? {
    type: 'needs-consent' as const,
    reason: 'its grant is gone',
    remedy: '',
    since: 0,
  };
  if (health.type === 'healthy') return { type: health.type };
  const { type, reason, remedy } = health;
  return { type, reason, remedy, at: isoOrNull('at' in health ? health.at : health.since) };
}
