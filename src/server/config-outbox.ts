/** The part of the configuration about mail that is accepted first and delivered then. */
import { z } from 'zod';
import { beyondLoopback, hostName, isLoopback, listenAddress, mailAddress, port, someNetwork } from './config-value.ts';

const device = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'letters, digits, dots and hyphens')
    .describe('of the rule; stands in the story of each message'),
  networks: z.array(someNetwork('this is everybody')).min(1).describe('where these devices are: addresses or networks'),
  mailbox: mailAddress.describe('mailbox of Postern that sends their mail'),
  sender: mailAddress
    .optional()
    .describe('the only sender they may have; default: the mailbox. Another one has to be declared for it (--send-as)'),
  perHour: z.int().min(1).default(60).describe('recipients in any hour, of all devices of this rule together'),
});

export const outboxSchema = z
  .strictObject({
    maxOctets: z
      .int()
      .min(1_000_000)
      .default(150_000_000)
      .describe('largest message that is taken, in octets; Microsoft 365 takes 35 MB unless raised, 150 MB at most'),
    keepDays: z.int().min(1).default(30).describe('how long messages that were sent or failed stay to be looked at'),
    localDomain: z
      .string()
      .max(253)
      .regex(/^(?=.*[a-z])[a-z0-9-]+(?:\.[a-z0-9-]+)+$/i, 'a domain, such as example.com')
      .optional()
      .describe(
        'completes names without a domain (To: root), as cron and scripts write them; unless given, such a recipient is refused and headers keep the name',
      ),
    localMailbox: z
      .string()
      .regex(/^(?!\*@)[^\s@]+@[^\s@]+$/, 'the address of a mailbox')
      .optional()
      .describe(
        'mailbox that postern sendmail sends through for senders without one (root, www-data, no From); unless given, the only mailbox that may send',
      ),
    relay: z
      .strictObject({
        host: hostName,
        port: z.int().min(1).max(65535).default(587),
        tls: z.enum(['implicit', 'starttls', 'none']).default('starttls'),
        ca: z.string().min(1).optional().describe('PEM file of a CA to trust besides the system’s'),
        user: z.string().min(1).optional(),
        passwordFile: z.string().min(1).optional().describe('file whose first line is the password'),
      })
      .refine(({ host, passwordFile, tls }) => tls !== 'none' || passwordFile === undefined || isLoopback(host), {
        message: 'a password needs TLS beyond loopback',
        path: ['tls'],
      })
      .refine(({ passwordFile, user }) => (user === undefined) === (passwordFile === undefined), {
        message: 'user and passwordFile go together',
        path: ['user'],
      })
      .meta({
        dependentRequired: { user: ['passwordFile'], passwordFile: ['user'] },
        ...beyondLoopback({ tls: { const: 'none' } }, { properties: { passwordFile: false } }),
      })
      .optional()
      .describe(
        'another SMTP server that takes mail of mailboxes set to it: postern mailbox set ADDRESS --route relay',
      ),
    devices: z
      .strictObject({
        host: listenAddress.describe('numeric address to listen on, or localhost'),
        port: port.default(2525).describe('0 picks a free port'),
        tls: z
          .enum(['none', 'starttls', 'implicit', 'plain'])
          .default('none')
          .describe(
            'none: plain text, STARTTLS offered; starttls: no mail in plain text; implicit: TLS from the first byte; with the certificate of the gateway; plain: STARTTLS is not offered, for devices that use it whenever it is and speak no TLS 1.2',
          ),
        rules: z
          .array(device)
          .min(1)
          .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'each rule has its own name'),
      })
      .optional()
      .describe(
        'lets devices that cannot sign in hand over mail, known by their network alone; off unless given, and postern check warns of it',
      ),
  })
  .prefault({})
  .describe('mail that is accepted first and delivered then');
