/** What an application is set to: read into values of their kind when it is added or changed. Plain JSON, no secrets. */
import { X509Certificate } from 'node:crypto';
import { z } from 'zod';

/** PEM text in which every certificate can be read: half a file would be taken for a wrong server later. */
const certificates = z
  .string()
  .refine(
    isPem,
    'it is not a PEM file of whole certificates (-----BEGIN CERTIFICATE----- … -----END CERTIFICATE-----)',
  );

function isPem(text: string): boolean {
  const blocks = text.split('-----BEGIN CERTIFICATE-----').slice(1);
  try {
    return (
      blocks.length > 0 &&
      blocks.every((block) => new X509Certificate(`-----BEGIN CERTIFICATE-----${block}`).raw.length > 0)
    );
  } catch {
    // Said by the schema's own words; the library's would quote the file.
    return false;
  }
}

const httpsUrl = z.url({ protocol: /^https$/ });
const mailServer = z.strictObject({
  host: z.string().min(1),
  port: z.int().min(1).max(65535),
  tls: z.enum(['implicit', 'starttls']),
  /** PEM text of CAs to trust besides the system's. */
  ca: certificates.optional(),
  /** SHA-256 fingerprints of leaf certificates, hex with or without colons. */
  fingerprints: z.array(z.string().regex(/^[0-9a-f]{2}(:?[0-9a-f]{2}){31}$/i)).optional(),
});
const scopeList = z
  .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'a scope is one word (RFC 6749 §3.3)'))
  .min(1);

/** What the preset does not know, or what differs from it. */
export const applicationSettings = z.strictObject({
  /** Microsoft: `https://login…/tenant`. Elsewhere the same as `issuer`. */
  authority: httpsUrl.optional(),
  issuer: httpsUrl.optional(),
  ca: certificates.optional(),
  /** Microsoft: prefix of scopes and audience. Elsewhere the audience access tokens must name. */
  resource: z.string().min(1).optional(),
  scopes: z
    .strictObject({
      imap: scopeList.optional(),
      pop3: scopeList.optional(),
      smtp: scopeList.optional(),
      base: scopeList.optional(),
      app: scopeList.optional(),
    })
    .optional(),
  imap: mailServer.optional(),
  pop3: mailServer.optional(),
  smtp: mailServer.optional(),
  /** Microsoft: origin of Graph, where it is not the cloud's own. */
  graph: httpsUrl.optional(),
  /** What a mailbox may send, where it differs from what is known of the provider. */
  sendingLimits: z
    .strictObject({
      messagesPerMinute: z.int().min(1).optional(),
      recipientsPerDay: z.int().min(1).optional(),
      connections: z.int().min(1).max(50).optional(),
    })
    .optional(),
  /** Whether sent mail is kept in the mailbox by the provider itself; default: as known of the provider. */
  savesSent: z.boolean().optional(),
  /** Days without use after which the provider forgets a grant, where it is known and not in the preset. */
  inactivityDays: z.int().min(1).max(3650).optional(),
  mechanisms: z
    .array(z.enum(['XOAUTH2', 'OAUTHBEARER']))
    .min(1)
    .optional(),
});
export type ApplicationSettings = Readonly<z.infer<typeof applicationSettings>>;
