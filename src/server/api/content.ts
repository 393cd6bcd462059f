/** From the fields of a request to a message that can be handed to the outbox. */
import type { Attachment, Composition, NamedAddress } from '../../outbox/composition.ts';
import { compose } from '../../outbox/compose.ts';
import { oauthError } from '../../oauth/errors.ts';
import { requireOpen } from '../../oauth/suspension.ts';
import { maySendAs } from '../../access/senders.ts';
import { isAddress } from '../../outbox/address.ts';
import { readAddresses } from '../../outbox/header-addresses.ts';
import { renderMessage } from '../../outbox/template/render.ts';
import { uploadOctets } from '../../outbox/upload.ts';
import type { Mailbox } from '../../store/types.ts';
import { apiError } from './errors.ts';
import type { ContentInput } from './message-schema.ts';
import { type ApiContext, type ApiDeps, mailboxFor, mailboxesOf, mayUse } from './request.ts';

export interface Ready {
  readonly recipients: readonly { readonly address: string }[];
  readonly body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

type AddressInput = ContentInput['from'];
type AddressList = ContentInput['to'];

/** @throws outbox.address */
export function oneAddress(input: NonNullable<AddressInput>, field: string): NamedAddress {
  const [first, ...more] = addresses(input);
  if (first && more.length === 0) return first;
  throw apiError('api.request', `${field} is to name one address`, {
    detail: { violations: [{ path: field, message: 'is to name one address' }] },
  });
}

/** @throws outbox.address */
function addresses(input: AddressList): readonly NamedAddress[] {
  if (input === undefined) return [];
  if (Array.isArray(input)) return input.flatMap((one) => addresses(one));
  if (typeof input === 'string') return isAddress(input) ? [{ name: '', address: input }] : readAddresses(input);
  if (isAddress(input.address)) return [input];
  return readAddresses(input.address);
}

/**
 * Fills in the template, finds the uploads and composes. The octets are read when the outbox takes them.
 * @throws api.*, outbox.*
 */
export async function prepare(
  c: ApiContext,
  deps: ApiDeps,
  from: NamedAddress,
  content: Omit<ContentInput, 'from'>,
): Promise<Ready> {
  const [to, cc, bcc] = [addresses(content.to), addresses(content.cc), addresses(content.bcc)];
  const { headers, inReplyTo, references } = content;
  const composition: Composition = {
    from,
    to,
    cc,
    replyTo: addresses(content.replyTo),
    ...(await wordsOf(deps, content)),
    attachments: await Promise.all(content.attachments.map((one) => attachmentOf(c, deps, one))),
    headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
    ...(inReplyTo === undefined ? {} : { inReplyTo }),
    ...(references === undefined ? {} : { references }),
  };
  const all = new Map([...to, ...cc, ...bcc].map(({ address }) => [address.toLowerCase(), { address }]));
  return { recipients: [...all.values()], body: compose(composition) };
}

async function wordsOf(
  { store }: ApiDeps,
  content: Omit<ContentInput, 'from'>,
): Promise<Pick<Composition, 'subject' | 'text' | 'html'>> {
  const { template, subject, text, html } = content;
  if (!template) {
    return { subject: subject ?? '', ...(text === undefined ? {} : { text }), ...(html === undefined ? {} : { html }) };
  }
  if (text !== undefined || html !== undefined)
    throw apiError('api.request', 'a message has either a template or words of its own');
  const found = await store.templates.find(template.name, template.version);
  if (!found) throw apiError('api.not-found', `there is no template ${template.name} of this version`);
  const rendered = renderMessage(subject === undefined ? found : { ...found, subject }, template.data);
  return {
    subject: rendered.subject,
    text: rendered.text,
    ...(rendered.html === undefined ? {} : { html: rendered.html }),
  };
}

async function attachmentOf(
  c: ApiContext,
  deps: ApiDeps,
  input: ContentInput['attachments'][number],
): Promise<Attachment> {
  const cid = input.cid === undefined ? {} : { cid: input.cid };
  if ('content' in input) {
    const { filename, contentType } = input;
    return { filename, contentType, content: Buffer.from(input.content, 'base64'), ...cid };
  }
  const row = await deps.store.uploads.find(input.upload);
  // Another key's upload is none of this one's business, not even its being there.
  if (row?.principal !== c.get('key').id || row.expiresAt <= deps.clock.now())
    throw apiError('api.not-found', `there is no upload ${input.upload} of this key`, {
      hint: 'uploads are forgotten after a day; send the file again by POST /v1/uploads',
    });
  return {
    filename: input.filename ?? row.filename,
    contentType: input.contentType ?? row.contentType,
    content: uploadOctets(deps, row),
    ...cid,
  };
}

/**
 * The mailbox that sends for an address: the one named, the address's own, or one that may send as it.
 * @throws api.not-found, oauth.suspended: as by SMTP, nothing is taken for a mailbox that is closed on purpose
 */
export async function sendingMailbox(
  c: ApiContext,
  deps: ApiDeps,
  from: string,
  named: string | undefined,
): Promise<Mailbox> {
  const mailbox = await mailboxOf(c, deps, from, named);
  requireOpen(mailbox);
  const { state } = (await deps.store.grants.find(mailbox.grantId)) ?? {};
  if (state?.type !== 'suspended') return mailbox;
  throw oauthError('oauth.suspended', `${mailbox.address} is suspended: ${state.reason}`);
}

async function mailboxOf(c: ApiContext, deps: ApiDeps, from: string, named: string | undefined): Promise<Mailbox> {
  if (named !== undefined) return mailboxFor(c, deps.store, named);
  const own = mayUse(c, from) ? await deps.store.mailboxes.opened(from) : undefined;
  if (own) return own;
  const allowed = mailboxesOf(c);
  const others = allowed
    ? await Promise.all(allowed.map((address) => deps.store.mailboxes.opened(address)))
    : await deps.store.mailboxes.list();
  const alias = others.find((mailbox) => mailbox !== undefined && maySendAs(mailbox, from));
  if (alias) return alias;
  throw apiError('api.not-found', `no mailbox of this key may send as ${from}`, {
    detail: { from },
    hint: 'use a key that opens the mailbox, or declare the address: postern mailbox set ADDRESS --send-as OTHER',
  });
}
