/** The audit log's settings. */
import { z } from 'zod';

export const auditSchema = z
  .strictObject({
    keepDays: z
      .int()
      .min(1)
      .max(36_500)
      .default(400)
      .describe('how long audit records stay; older ones are removed within an hour, and the rest still proves itself'),
  })
  .prefault({})
  .describe('the record of consents, tokens, sign-ins and sessions');
