/** Pieces that the inputs of several acts share. */
import { z } from 'zod';

/**
 * A text of bounded length. A longer one is refused before any expression looks at it: zod goes on to the next check after one that
 * failed, unless it is told to stop.
 */
export const text = (max: number, min = 0): z.ZodString =>
  z.string().min(min, { abort: true }).max(max, { abort: true });

export const address = text(320, 3).meta({ example: 'shop@example.com' });
export const MAX_LISTED = 1_000_000;
/** At most so many of a list; each surface has a bound of its own. */
export const limit = z.coerce.number().int().min(1).max(MAX_LISTED).default(50).meta({ description: 'items at most' });
export const time = z.iso
  .datetime({ offset: true })
  .meta({ description: 'RFC 3339, with an offset', example: '2026-11-21T09:30:00Z' });
/** Milliseconds since the epoch, which JSON has as {@link time}. */
export const moment = z.codec(time, z.number(), {
  decode: (text) => Date.parse(text),
  encode: (at) => new Date(at).toISOString(),
});
/** Rows as the schema has them: of their members those that it names. Never read back. */
export const shownAs = <S extends z.ZodType, R>(
  schema: S,
  show: (row: R) => z.output<S>,
): z.ZodCodec<S, z.ZodType<R, R>> =>
  z.codec(schema, z.custom<R>(), {
    encode: show,
    decode: () => {
      throw new TypeError('what was shown is not read');
    },
  });
/** For whoever looks at a held message or mailbox later. */
export const holdReason = text(500, 1).meta({
  description: 'why it is held, for whoever looks at it later',
  example: 'wrong template',
});
/** Of app passwords and API keys. */
export const givenQuery = z.object({
  all: z.boolean().default(false).meta({ description: 'also revoked and expired ones' }),
});
export const givenName = z.object({ name: z.string().meta({ description: 'id, or label when only one has it' }) });
