/**
 * A message above Graph's size limit: a draft from its text and header, every attachment by itself, then sent
 * (microsoft-graph-docs, outlook-large-attachments). Text, names, addresses, Message-ID and `X-` fields stay; how the parts were
 * written does not, so that what is signed or encrypted cannot go this way.
 */
import PostalMime, { type Attachment, decodeWords } from 'postal-mime';
import type { GraphAccess } from '../../oauth/graph-access.ts';
import type { ListedAddress } from '../../protocol/mime/address-list.ts';
import { headerEnd } from '../../protocol/mime/header-fields.ts';
import { type GraphAnswer, type GraphHttp, mustBeGood } from './graph-http.ts';
import type { Named } from './graph-recipients.ts';

/** Attachments below go in one request, others in pieces. */
const WHOLE_OCTETS = 3 * 1024 * 1024;
/** A multiple of 320 KiB below the 4 MB a piece may have. */
const PIECE_OCTETS = 3_276_800;

/** Signed and encrypted messages (RFC 1847, RFC 8551), and reports, whose parts have a meaning of their own. */
export function isSealedMime(raw: Buffer): boolean {
  const header = raw.subarray(0, headerEnd(raw) ?? 0).toString('latin1');
  const type = /^content-type:[ \t]*(?:\r\n[ \t]+)?([^;\s]+)/im.exec(header)?.[1] ?? '';
  return /^(?:multipart\/(?:signed|encrypted|report)|application\/(?:x-)?pkcs7-mime|text\/calendar)$/i.test(type);
}

export interface PartedMessage {
  readonly raw: Buffer;
  /** Whom it is from and goes to, as it was judged: how the parts' own reader understands the header counts for nothing. */
  readonly named: Named;
  readonly messageId: string;
}

/** @throws outbox.graph-refused, outbox.graph-unreachable: nothing was sent; outbox.graph-unknown */
export async function sendInParts(
  http: GraphHttp,
  access: GraphAccess,
  user: string,
  { raw, named, messageId }: PartedMessage,
  signal: AbortSignal,
  mayFinish: () => void,
): Promise<GraphAnswer> {
  const email = await PostalMime.parse(raw, { attachmentEncoding: 'arraybuffer' });
  const json = (path: string, body: object): Promise<GraphAnswer> =>
    http.ask(access, { method: 'POST', path, type: 'application/json', body: JSON.stringify(body) }, signal);
  const draft = mustBeGood(
    await json(`${user}/messages`, {
      subject: email.subject ?? '',
      body:
        email.html === undefined
          ? { contentType: 'text', content: email.text ?? '' }
          : { contentType: 'html', content: email.html },
      from: people(named.from)[0],
      toRecipients: people(named.to),
      ccRecipients: people(named.cc),
      bccRecipients: people(named.bcc),
      replyTo: people(named.replyTo),
      internetMessageId: messageId,
      internetMessageHeaders: extraFields(email.headers),
    }),
  );
  const path = `${user}/messages/${encodeURIComponent(String(draft.json['id']))}`;
  try {
    for (const attachment of email.attachments) await attach(http, access, path, attachment, json, signal);
    mayFinish();
    return await http.ask(access, { method: 'POST', path: `${path}/send`, final: true }, signal);
  } catch (error) {
    // What was not sent must not stay among the drafts; that it could not be removed is no reason to fail differently.
    await http.ask(access, { method: 'DELETE', path }, signal).catch((again: unknown) => again);
    throw error;
  }
}

async function attach(
  http: GraphHttp,
  access: GraphAccess,
  path: string,
  attachment: Attachment,
  json: (path: string, body: object) => Promise<GraphAnswer>,
  signal: AbortSignal,
): Promise<void> {
  const content = Buffer.from(attachment.content as ArrayBuffer);
  const name = attachment.filename ?? 'attachment';
  const { contentId, mimeType: contentType } = attachment;
  const inline = {
    ...(contentId === undefined ? {} : { contentId: contentId.replace(/^<|>$/g, '') }),
    ...(attachment.disposition === 'inline' ? { isInline: true } : {}),
  };
  if (content.length < WHOLE_OCTETS) {
    const contentBytes = content.toString('base64');
    const file = { '@odata.type': '#microsoft.graph.fileAttachment', name, contentType, contentBytes, ...inline };
    mustBeGood(await json(`${path}/attachments`, file));
    return;
  }
  const item = { attachmentType: 'file', name, contentType, size: content.length, ...inline };
  const session = mustBeGood(await json(`${path}/attachments/createUploadSession`, { AttachmentItem: item }));
  const uploadUrl = String(session.json['uploadUrl']);
  for (let from = 0; from < content.length; from += PIECE_OCTETS) {
    const body = content.subarray(from, from + PIECE_OCTETS);
    const range = `bytes ${from}-${from + body.length - 1}/${content.length}`;
    const request = { method: 'PUT', path: uploadUrl, type: 'application/octet-stream', body } as const;
    mustBeGood(await http.ask(access, { ...request, headers: { 'content-range': range } }, signal));
  }
}

function people(addresses: readonly ListedAddress[] = []): readonly object[] {
  return addresses.flatMap(({ address, name }) =>
    address === '' ? [] : [{ emailAddress: { address, ...(name === '' ? {} : { name: decodeWords(name) }) } }],
  );
}

/** Graph takes fields of its own making only, at most five (microsoft-graph-docs, internetMessageHeader); our mark is the first. */
function extraFields(headers: readonly { readonly key: string; readonly value: string }[]): readonly object[] {
  return headers
    .filter(({ key }) => key.startsWith('x-'))
    .slice(0, 5)
    .map(({ key, value }) => ({ name: key, value }));
}
