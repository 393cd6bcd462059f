/** From the fields of a request to a message that can be handed to the outbox. */
import { mailboxesOf, opens } from '../../admin/actor.ts';
import { findOpened } from '../../admin/find.ts';
import { checkHeaders, compose, type Composition } from '../../outbox/compose.ts';
import type { NamedAddress } from '../../protocol/mime/field.ts';
import type { Attachment } from '../../protocol/mime/write.ts';
import { oauthError } from '../../oauth/errors.ts';
import { requireOpen } from '../../oauth/suspension.ts';
import { maySendAs } from '../../access/senders.ts';
import { isAddress } from '../../outbox/address.ts';
import { readAddresses } from '../../outbox/header-addresses.ts';
import { type Compiled, compileTemplate, renderMessage } from '../../outbox/template/render.ts';
import { uploadOctets } from '../../outbox/upload.ts';
import type { Mailbox } from '../../store/types.ts';
import { apiError } from './errors.ts';
import type { ContentInput } from './message-schema.ts';
import { actorOf, type ApiContext, type ApiDeps } from './request.ts';

export interface Ready {
  readonly recipients: readonly { readonly address: string }[];
  /** About as many octets as are held once it is composed. */
  readonly octets: number;
  /** The octets of the message, put together now. */
  body(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/** What several messages have in common: read once, held once. */
export interface Common {
  readonly template?: Compiled;
  readonly attachments?: readonly Attachment[];
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
 * Fills in the template, finds the uploads and checks. It is composed when its body is asked for, and read when the outbox
 * takes it.
 * @throws api.*, outbox.*
 */
export async function prepare(
  c: ApiContext,
  deps: ApiDeps,
  from: NamedAddress,
  content: Omit<ContentInput, 'from'>,
  common: Common = {},
): Promise<Ready> {
  const [to, cc, bcc] = [addresses(content.to), addresses(content.cc), addresses(content.bcc)];
  const { headers, inReplyTo, references } = content;
  const words = await wordsOf(deps, content, common.template);
  const composition: Composition = {
    from,
    to,
    cc,
    replyTo: addresses(content.replyTo),
    ...words,
    attachments: common.attachments ?? (await attachmentsOf(c, deps, content.attachments)),
    headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
    ...(inReplyTo === undefined ? {} : { inReplyTo }),
    ...(references === undefined ? {} : { references }),
  };
  checkHeaders(composition.headers);
  const all = new Map([...to, ...cc, ...bcc].map(({ address }) => [address.toLowerCase(), { address }]));
  const characters = words.subject.length + (words.text?.length ?? 0) + (words.html?.length ?? 0);
  const attached = composition.attachments.reduce(
    (sum, { content: one }) => sum + (one instanceof Uint8Array ? one.length : 0),
    0,
  );
  // The words, and once more with the attachments, encoded, as octets.
  return {
    recipients: [...all.values()],
    octets: 2 * characters + 2 * attached,
    body: () => compose(composition),
  };
}

/** @throws api.not-found, outbox.template */
export async function templateOf(
  { store }: ApiDeps,
  template: { readonly name: string; readonly version?: number | undefined },
  subject: string | undefined,
): Promise<Compiled> {
  const found = await store.templates.find(template.name, template.version);
  if (!found) throw apiError('api.not-found', `there is no template ${template.name} of this version`);
  return compileTemplate(subject === undefined ? found : { ...found, subject });
}

/** @throws api.not-found */
export function attachmentsOf(
  c: ApiContext,
  deps: ApiDeps,
  inputs: ContentInput['attachments'],
): Promise<readonly Attachment[]> {
  return Promise.all(inputs.map((one) => attachmentOf(c, deps, one)));
}

async function wordsOf(
  deps: ApiDeps,
  content: Omit<ContentInput, 'from'>,
  compiled: Compiled | undefined,
): Promise<Pick<Composition, 'subject' | 'text' | 'html'>> {
  const { template, subject, text, html } = content;
  if (!template) {
    return { subject: subject ?? '', ...(text === undefined ? {} : { text }), ...(html === undefined ? {} : { html }) };
  }
  if (text !== undefined || html !== undefined)
    throw apiError('api.request', 'a message has either a template or words of its own');
  const rendered = await renderMessage(compiled ?? (await templateOf(deps, template, subject)), template.data);
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
    // Read again for each message that carries it.
    content: { [Symbol.asyncIterator]: () => uploadOctets(deps, row)[Symbol.asyncIterator]() },
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
  if (named !== undefined) return findOpened(deps, named, actorOf(c));
  const own = opens(actorOf(c), from) ? await deps.store.mailboxes.opened(from) : undefined;
  if (own) return own;
  const allowed = mailboxesOf(actorOf(c));
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
