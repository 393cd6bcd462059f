/** Graph's routes on a mailbox: sendMail, drafts, attachments, and the look-up by Message-ID. */
import type { Context, Hono } from 'hono';
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { fieldOf } from '../../protocol/mime/part.ts';
import { structureOf } from '../mail/imap-fetch.ts';
import { foreignAuthor, post, type Sender } from '../mail/submission.ts';
import type { Mailbox, Message } from '../mail/store.ts';
import { type Draft, Drafts } from './drafts.ts';
import { address, complete, compose, messageSchema, readJson, readMime } from './message.ts';
import type { HttpBindings } from '../http-door.ts';
import { refuse } from './refusal.ts';
import { type GraphSite, openMailbox, refuseAs, strike, type Verdict } from './site.ts';

type Work = (c: Context, sender: Sender) => Promise<Response>;

/** @param verdictOf whose token the request bears */
export function mailRoutes(app: Hono, site: GraphSite, verdictOf: (c: Context) => Verdict): void {
  const drafts = new Drafts(site);
  const on = (method: 'GET' | 'POST' | 'DELETE', path: string, permissions: readonly string[], work: Work): void => {
    for (const prefix of ['/v1.0/me', '/v1.0/users/:user'])
      app.on(method, `${prefix}${path}`, async (c) => {
        const user = c.req.param('user');
        const sender = openMailbox(site, verdictOf(c), user, permissions);
        return inTurn(site, c, sender, work);
      });
  };

  on('POST', '/sendMail', ['Mail.Send'], async (c, sender) => {
    const { mailbox } = sender;
    if (isMime(c)) return send(site, c, sender, readMime(await bodyOf(c)), true);
    const { message, saveToSentItems } = readJson(sendMailSchema, await jsonOf(c));
    return send(site, c, sender, await compose(message, [], mailbox.address, site.mail.clock.now()), saveToSentItems);
  });

  on('POST', '/messages', ['Mail.ReadWrite'], async (c, { mailbox }) => {
    if (isMime(c)) return c.json(resource(drafts.create(mailbox, readMime(await bodyOf(c)))), 201);
    const message = readJson(messageSchema, await jsonOf(c));
    return c.json(
      resource(drafts.create(mailbox, await compose(message, [], mailbox.address, site.mail.clock.now()), message)),
      201,
    );
  });
  on('GET', '/messages/:id', ['Mail.ReadWrite', 'Mail.Read'], async (c, { mailbox }) =>
    c.json(resource(drafts.find(mailbox, c.req.param('id')!))),
  );
  on('DELETE', '/messages/:id', ['Mail.ReadWrite'], async (c, { mailbox }) => {
    drafts.remove(drafts.find(mailbox, c.req.param('id')!));
    return c.body(null, 204);
  });
  on('POST', '/messages/:id/send', ['Mail.Send'], async (c, sender) => {
    const draft = drafts.find(sender.mailbox, c.req.param('id')!);
    const response = await send(site, c, sender, draft.message.raw, true);
    drafts.remove(draft);
    return response;
  });
  on('POST', '/messages/:id/attachments', ['Mail.ReadWrite'], async (c, { mailbox }) => {
    const draft = drafts.find(mailbox, c.req.param('id')!);
    const { contentBytes, ...file } = readJson(attachmentSchema, await jsonOf(c));
    const content = Buffer.from(contentBytes, 'base64');
    const { id } = await drafts.attach(draft, { ...file, content });
    return c.json({ '@odata.type': '#microsoft.graph.fileAttachment', id, ...file, size: content.length }, 201);
  });
  on('POST', '/messages/:id/attachments/createUploadSession', ['Mail.ReadWrite'], async (c, { mailbox }) => {
    const draft = drafts.find(mailbox, c.req.param('id')!);
    const { AttachmentItem: item } = readJson(uploadSchema, await jsonOf(c));
    const { key, session } = drafts.openSession(draft, item);
    const expirationDateTime = new Date(session.expiresAt).toISOString();
    return c.json({ uploadUrl: `${site.origin}/upload/${key}`, expirationDateTime, nextExpectedRanges: ['0-'] }, 201);
  });
  on(
    'GET',
    '/mailFolders/:folder/messages',
    ['Mail.ReadWrite', 'Mail.Read', 'Mail.ReadBasic'],
    async (c, { mailbox }) =>
      c.json({ value: found(mailbox, c.req.param('folder')!, c.req.query('$filter')).map((each) => shown(each)) }),
  );

  // The URL is the permission: Microsoft's is pre-authenticated as well.
  app.put('/upload/:key', async (c) => {
    const key = c.req.param('key');
    const session = drafts.session(key);
    const last = await drafts.put(key, c.req.header('content-range'), await bodyOf(c));
    if (!last)
      return c.json({
        expirationDateTime: new Date(session.expiresAt).toISOString(),
        nextExpectedRanges: [`${session.received}-`],
      });
    const { draft } = session;
    c.header(
      'location',
      `${site.origin}/v1.0/users/${draft.mailbox.address}/messages/${draft.id}/attachments/${last.id}`,
    );
    return c.body(null, 201);
  });
  app.delete('/upload/:key', (c) => {
    drafts.cancel(c.req.param('key'));
    return c.body(null, 204);
  });
}

/** One request of a mailbox among others: faults and throttling. */
async function inTurn(site: GraphSite, c: Context, sender: Sender, work: Work): Promise<Response> {
  const { ledger } = site.mail;
  const { address: mailbox } = sender.mailbox;
  strike(site, 'request', [mailbox]);
  strike(site, 'mailbox', [mailbox]);
  const wait = ledger.takeRequest(mailbox);
  const full = ledger.open(mailbox, 'graph') >= ledger.limits.graphConcurrent;
  if (wait > 0 || full)
    throw refuse(
      429,
      'ApplicationThrottled',
      `Application is over its ${full ? 'MailboxConcurrency' : 'RequestRate'} limit.`,
      { 'retry-after': String(Math.max(1, Math.ceil(wait / 1000))) },
    );
  const leave = ledger.enter(mailbox, 'graph');
  try {
    return await work(c, sender);
  } finally {
    leave();
  }
}

/** Sends and answers 202: taken, which is not delivered. @throws sandbox.graph */
async function send(site: GraphSite, c: Context, sender: Sender, written: Buffer, save: boolean): Promise<Response> {
  const { mail, ledger, clock, faults } = site.mail;
  const { address: mailbox } = sender.mailbox;
  const full = complete(written, mailbox, clock.now(), randomUUID());
  if (full.length > ledger.limits.messageOctets)
    throw refuse(413, 'ErrorMessageSizeExceeded', 'The message exceeds the maximum supported size.');
  const { recipients, raw } = address(full);
  strike(site, 'send', [mailbox, ...recipients]);
  if (foreignAuthor(mail, sender, full) !== undefined) throw refuseAs(site, 'graph-send-as-denied');
  if (!ledger.takeRecipients(mailbox, recipients.length)) throw refuseAs(site, 'graph-quota-exceeded');
  if (faults.bite('graph-message-lost', { place: 'graph', addresses: [mailbox, ...recipients] })) {
    reset(c);
    return c.body(null, 500);
  }
  post(site.mail, sender, { place: 'graph', from: mailbox, recipients, raw, copy: save ? full : undefined });
  if (faults.bite('graph-reply-lost', { place: 'graph', addresses: [mailbox, ...recipients] })) reset(c);
  return c.body(null, 202);
}

/** The connection breaks; what is answered arrives nowhere. */
function reset(c: Context): void {
  (c.env as Partial<HttpBindings> | undefined)?.incoming?.socket.destroy();
}

const sendMailSchema = z.object({ message: messageSchema, saveToSentItems: z.boolean().default(true) });
const attachmentSchema = z.object({
  name: z.string(),
  contentType: z.string().default('application/octet-stream'),
  contentBytes: z.base64(),
  contentId: z.string().optional(),
  isInline: z.boolean().optional(),
});
const uploadSchema = z.object({
  AttachmentItem: z.object({
    attachmentType: z.literal('file'),
    name: z.string(),
    size: z.int().min(1),
    contentType: z.string().default('application/octet-stream'),
  }),
});

const isMime = (c: Context): boolean => c.req.header('content-type')?.startsWith('text/plain') === true;

async function bodyOf(c: Context): Promise<Buffer> {
  return Buffer.from(await c.req.arrayBuffer());
}

/** @throws sandbox.graph 400 */
async function jsonOf(c: Context): Promise<unknown> {
  try {
    return await c.req.json();
  } catch {
    throw refuse(
      400,
      'BadRequest',
      'Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.',
    );
  }
}

function resource({ id, message }: Draft): object {
  return { ...shown(message), id, isDraft: true };
}

function shown(message: Message): object {
  const part = structureOf(message);
  return {
    id: `AAMkF${message.uid}=`,
    subject: fieldOf(part, 'subject') ?? '',
    internetMessageId: fieldOf(part, 'message-id') ?? null,
    receivedDateTime: new Date(message.internalDate).toISOString(),
    sentDateTime: new Date(message.internalDate).toISOString(),
    isRead: message.flags.has('\\Seen'),
  };
}

const FOLDERS: Readonly<Record<string, string>> = {
  inbox: 'INBOX',
  drafts: 'Drafts',
  sentitems: 'Sent Items',
  deleteditems: 'Deleted Items',
  junkemail: 'Junk Email',
  archive: 'Archive',
};

/** Messages of a well-known folder; the one filter understood is by Message-ID. @throws sandbox.graph 400, 404 */
function found(mailbox: Mailbox, name: string, filter: string | undefined): readonly Message[] {
  const folder = mailbox.find(FOLDERS[name.toLowerCase()] ?? '');
  if (!folder) throw refuse(404, 'ErrorItemNotFound', 'The specified folder could not be found in the store.');
  const newest = folder.messages.toReversed();
  if (filter === undefined) return newest.slice(0, 10);
  const wanted = /^internetMessageId eq '((?:[^']|'')*)'$/i.exec(filter.trim())?.[1]?.replaceAll("''", "'");
  if (wanted === undefined) throw refuse(400, 'BadRequest', `Invalid filter clause: ${filter}`);
  return newest.filter((message) => fieldOf(structureOf(message), 'message-id') === wanted).slice(0, 10);
}
