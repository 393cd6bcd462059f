/** What a notice says, as it is stored and delivered. */
import { z } from 'zod';

/** One thing to tell: plain facts and plain words, no secrets. */
export const noticeBody = z.object({
  type: z.enum([
    'grant.needs-consent',
    'grant.consent-ending',
    'grant.inactive',
    'grant.blocked',
    'provider.failing',
    'application.failing',
    'credential.ending',
    'outbox.paused',
    'outbox.waiting',
    'outbox.failed',
    'notice.test',
  ]),
  /** One sentence, lower case, no full stop. */
  summary: z.string(),
  reason: z.string(),
  remedy: z.string(),
  /** ISO 8601: when mail stops unless somebody acts, where that is known. */
  deadline: z.string().optional(),
  /** At most fifty; {@link mailboxCount} is how many there are. */
  mailboxes: z.array(z.string()),
  mailboxCount: z.number(),
  application: z.string().optional(),
  provider: z.string().optional(),
  code: z.string().optional(),
  /** Where the owner signs in again, if the console can be reached. */
  link: z.string().optional(),
});

export type NoticeBody = Readonly<z.infer<typeof noticeBody>>;
