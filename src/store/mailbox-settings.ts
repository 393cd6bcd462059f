/** What a mailbox is set to, besides its columns: read into values of their kind where its row is read, and nowhere else. */
import { z } from 'zod';

/** Something that does not fit counts as not set. */
const fitting = <T extends z.ZodType>(schema: T) => schema.optional().catch(undefined);
const delegate = fitting(z.literal('delegate'));

const shape = {
  /** How mail of SMTP programs leaves; missing: `direct`. */
  outgoing: fitting(z.enum(['direct', 'outbox'])),
  /** Ways out of the outbox, in the order to try; missing: as the provider has them. */
  routes: fitting(z.array(z.string()).readonly()),
  /** Other senders it may have, in lower case. */
  sendAs: fitting(z.array(z.string()).readonly()),
  /** Nothing of it leaves the outbox until it is released; nor where it cannot be read who said so. */
  outboxHeld: z
    .object({ since: z.number(), by: z.string(), reason: z.string() })
    .optional()
    .catch({ since: 0, by: 'somebody', reason: '' }),
  /** `delegate`: sign in as the grant's identity instead of the mailbox. */
  imapUser: delegate,
  pop3User: delegate,
  smtpUser: delegate,
};
export type MailboxSettings = Readonly<z.infer<z.ZodObject<typeof shape>>>;

/** What a newer version wrote besides stays as it is. */
const schema = z.looseObject(shape);

export function readMailboxSettings(stored: object): MailboxSettings {
  return schema.parse(stored);
}
