/** The part of the configuration about who is told when a mailbox needs a person. */
import { z } from 'zod';
import { mailAddress, milliseconds, webAddress } from './config-value.ts';

export const noticesSchema = z
  .strictObject({
    mail: z
      .strictObject({
        to: z.array(mailAddress).min(1),
        from: mailAddress.optional().describe('mailbox of Postern that sends it; default: any that works and may send'),
        owners: z
          .boolean()
          .default(false)
          .describe('also to the owner of a mailbox, when only they can act; the mail has the link'),
      })
      .optional()
      .describe('by mail to people, through a mailbox that works'),
    webhook: z
      .strictObject({
        url: webAddress.describe('https, or http on loopback'),
        secretFile: z
          .string()
          .min(1)
          .describe('file with the signing secret: whsec_ and 24 to 64 octets in base64 (Standard Webhooks)'),
      })
      .optional()
      .describe('by a signed POST (Standard Webhooks)'),
    command: z
      .strictObject({
        run: z.array(z.string().min(1)).min(1).describe('program and arguments, without a shell'),
        timeoutMs: milliseconds.default(10_000).describe('it is killed after this'),
      })
      .optional()
      .describe('by running a program, with the facts in POSTERN_NOTICE_… variables and as JSON on standard input'),
  })
  .prefault({})
  .describe('who is told when a mailbox needs a person or soon will; `postern notice test` tries it');
