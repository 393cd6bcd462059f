/** The form of the catalogue: what goes wrong, what will change and what is limited at providers, as data with sources. */
import { z } from 'zod';
import { FLOWS } from '../../store/flows.ts';

/** A regular expression, matched without regard to case. */
const pattern = z.string().refine(compiles, 'this is no regular expression');
const id = z.string().regex(/^[a-z0-9-]+(?:\.[a-z0-9-]+)?$/);
const day = z.iso.date();
const protocol = z.enum(['imap', 'pop3', 'smtp']);
const flow = z.enum(FLOWS);
const confidence = z
  .enum(['vendor', 'secondary', 'unverified'])
  .describe('read in the vendor’s documentation, seen elsewhere, or neither');
const cited = { sources: z.array(z.string()).min(1), confidence };

/** One thing to do. `run` is a command, `at` a path through a portal; `{address}` and its like stand for facts. */
const step = z.object({
  /** Only for mailboxes that are opened so; without it for all. */
  access: z.array(z.enum(['own', 'shared', 'app-only'])).optional(),
  do: z.string().min(1),
  run: z.string().optional(),
  at: z.string().optional(),
});

/** What a row is recognised by. */
const match = z.union([
  /** Microsoft’s numbers. */
  z.object({ aadsts: z.array(z.int().positive()).min(1) }),
  /** `error`, Microsoft’s or Google’s `suberror` / `error_subtype`, and words of `error_description`. */
  z.object({
    oauth: z.object({ error: z.string(), suberror: z.string().optional(), description: pattern.optional() }),
  }),
  /** `status` of the JSON a server sends before it refuses a bearer token. */
  z.object({ sasl: z.object({ status: z.array(z.string()).min(1) }) }),
  /** A reply line without IMAP’s tag; the examples are real ones and tested. */
  z.object({
    reply: z.object({ protocols: z.array(protocol).min(1), pattern, examples: z.array(z.string()).min(1) }),
  }),
  /** `error.code` of Microsoft Graph’s answers. */
  z.object({ graph: z.object({ codes: z.array(z.string()).min(1) }) }),
  /** One of our own codes, and the system’s reason in its detail. */
  z.object({ ours: z.object({ code: z.string(), reason: pattern.optional() }) }),
]);

/** Whose refusal it is: only one of the message or of a recipient fails a message, the others let what they are about rest. */
const whose = z.enum([
  'message',
  'recipient',
  /** The address it is from: the message’s, unless that is a shared mailbox, of which then nothing can leave. */
  'sender',
  /** This way out of this mailbox; where the trouble does not pass by itself, another way may be open. */
  'route',
  'mailbox',
  /** Every mailbox of the application, which is registered for one organisation. */
  'tenant',
]);

const refuses = z.object({
  whose,
  /** Given to RCPT, the same words may be about the recipient instead. */
  asReplyToRecipient: whose.optional(),
  /** The first try after it; later ones are further apart. */
  againSeconds: z.int().positive().optional(),
  /** It has passed by then, if it passes with time alone. */
  passesSeconds: z.int().positive().optional(),
});

const errorRow = z.object({
  id,
  match: z.array(match).min(1),
  /** What is the matter, in one plain sentence without a full stop. */
  cause: z.string().min(1),
  /** Who has to act: the mailbox’s owner, an administrator at the provider, who runs Postern, the provider, the mail program. */
  blame: z.enum(['user', 'admin', 'operator', 'provider', 'program']),
  /** Absent: it does not pass by itself. */
  passesWhen: z.string().optional(),
  /** What a token request that ends so means for the grant. */
  outcome: z.enum(['later', 'consent', 'admin', 'misconfigured', 'declined', 'expired']).optional(),
  /** With `consent`: a rule of the organisation, which may be lifted again. So it is asked for now and then. */
  mayBeLifted: z.boolean().optional(),
  /** What a refusal of outgoing mail is about. */
  refuses: refuses.optional(),
  remedy: z.array(step).min(1),
  ...cited,
});

const change = z.object({
  id,
  date: day,
  until: day.optional(),
  what: z.string().min(1),
  /** Whom it concerns; absent: nobody who signs in through Postern. */
  affects: z
    .object({
      presets: z.array(z.string()).min(1),
      protocols: z.array(protocol).optional(),
      flows: z.array(flow).optional(),
      /** Mail server names. */
      hosts: pattern.optional(),
    })
    .optional(),
  /** `warning`: somebody has to do something. */
  level: z.enum(['notice', 'warning']),
  effect: z.string().min(1),
  remedy: z.array(step),
  ...cited,
});

const limit = z.object({
  id,
  presets: z.array(z.string()).min(1),
  protocols: z.array(protocol).min(1),
  what: z.string().min(1),
  value: z.number().positive().optional(),
  unit: z.enum(['messages', 'recipients', 'connections', 'megabytes']).optional(),
  per: z.enum(['message', 'minute', 'day']).optional(),
  ...cited,
});

export const catalogueSchema = z
  .object({
    format: z.literal(1),
    /** Grows with every publication; an older one never replaces a newer one. */
    edition: z.int().positive(),
    published: day,
    /** Source tag → what it is. */
    sources: z.record(z.string(), z.string()),
    errors: z.array(errorRow).min(1),
    calendar: z.array(change),
    limits: z.array(limit),
  })
  .superRefine((data, context) => {
    const all = [...data.errors, ...data.calendar, ...data.limits];
    for (const row of all)
      for (const tag of row.sources)
        if (!(tag in data.sources))
          context.addIssue({ code: 'custom', message: `${row.id} cites ${tag}, which is not there` });
    const ids = all.map((row) => row.id);
    const twice = ids.find((one, index) => ids.indexOf(one) !== index);
    if (twice !== undefined) context.addIssue({ code: 'custom', message: `${twice} is there twice` });
  });

export type Catalogue = z.infer<typeof catalogueSchema>;
export type CatalogueRow = z.infer<typeof errorRow>;
export type Whose = z.infer<typeof whose>;
export type RemedyStep = z.infer<typeof step>;
export type ProviderChange = z.infer<typeof change>;
export type ProviderLimit = z.infer<typeof limit>;
export type Blame = CatalogueRow['blame'];
export type Outcome = NonNullable<CatalogueRow['outcome']>;

function compiles(text: string): boolean {
  try {
    return new RegExp(text, 'i').source !== '';
  } catch {
    // The refinement's own message says it.
    return false;
  }
}
