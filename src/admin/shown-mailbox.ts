/** A mailbox as whoever asked for it sees it. */
import { z } from 'zod';
import { withoutPaths } from '../base/outside.ts';
import { HEALTH_NAMES, mailboxHealth } from '../oauth/health.ts';
import type { SurveyedGrant } from '../oauth/survey.ts';
import type { Outbox } from '../outbox/types.ts';
import { PROTOCOLS } from '../store/protocols.ts';
import type { Mailbox } from '../store/types.ts';
import { address, moment, shownAs } from './schema.ts';

/** A mailbox with the grant that opens it, and how that is doing. */
export interface SurveyedMailbox {
  readonly mailbox: Mailbox;
  /** Undefined when its grant is gone. */
  readonly surveyed: SurveyedGrant | undefined;
}

export const mailboxSchema = z
  .object({
    address,
    provider: z.string().nullable(),
    access: z.string().meta({ description: 'own, shared, or by application' }),
    protocols: z.array(z.enum(PROTOCOLS)).readonly(),
    outgoing: z.enum(['direct', 'outbox']).meta({ description: 'how mail of SMTP programs leaves' }),
    routes: z
      .array(z.string())
      .readonly()
      .meta({ description: 'how mail leaves the outbox, in the order to try; empty: as its provider has it' }),
    sendAs: z.array(z.string()).readonly().meta({ description: 'further senders that its mail may have' }),
    state: z.object({
      type: z.enum(HEALTH_NAMES),
      reason: z.string().optional(),
      remedy: z.string().optional(),
      at: moment.nullable().optional().meta({ description: 'when mail stops, or has stopped' }),
    }),
    held: z.object({ since: moment, by: z.string(), reason: z.string() }).nullable(),
    tried: z
      .partialRecord(
        z.enum(PROTOCOLS),
        z.object({ at: moment, failure: z.object({ code: z.string(), reason: z.string() }).nullable() }),
      )
      .meta({ description: 'what came of the last check or test of each protocol; empty: none since the consent' }),
    createdAt: moment,
  })
  .meta({ id: 'Mailbox' });
export const mailboxWithQueue = mailboxSchema
  .extend({ queue: z.object({ queued: z.int(), sending: z.int(), held: z.int(), oldestDueAt: moment.nullable() }) })
  .meta({ id: 'MailboxWithQueue' });

export const shownMailbox = shownAs(mailboxSchema, shown);
export const shownWithQueue = shownAs(
  mailboxWithQueue,
  ({ stats, ...row }: SurveyedMailbox & { readonly stats: Awaited<ReturnType<Outbox['stats']>> }) => {
    const { oldestDueAt = null } = stats;
    return { ...shown(row), queue: { ...stats, oldestDueAt } };
  },
);

function shown({ mailbox, surveyed }: SurveyedMailbox): z.output<typeof mailboxSchema> {
  const { settings, tried = {} } = mailbox;
  return {
    ...mailbox,
    provider: surveyed?.application?.provider ?? null,
    outgoing: settings.outgoing ?? 'direct',
    routes: settings.routes ?? [],
    sendAs: settings.sendAs ?? [],
    state: stateOf({ mailbox, surveyed }),
    held: settings.outboxHeld ?? null,
    tried: Object.fromEntries(
      Object.entries(tried).map(([protocol, { at, failure }]) => [
        protocol,
        { at, failure: failure === undefined ? null : { ...failure, reason: withoutPaths(failure.reason) } },
      ]),
    ),
  };
}

function stateOf({ mailbox, surveyed }: SurveyedMailbox) {
  const health = mailboxHealth(mailbox, surveyed?.health);
  if (health === undefined) return { type: 'needs-consent' as const, reason: 'its grant is gone', remedy: '', at: 0 };
  if (health.type === 'healthy') return { type: health.type };
  const { type, reason, remedy } = health;
  return {
    type,
    reason: withoutPaths(reason),
    remedy: withoutPaths(remedy),
    at: ('at' in health ? health.at : health.since) ?? null,
  };
}
