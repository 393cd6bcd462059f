/** Drafts and their attachments, small ones and those that come in pieces (microsoft-graph-docs, outlook-large-attachments). */
import { randomBytes } from 'node:crypto';
import type { Mailbox, Message } from '../mail/store.ts';
import { compose, type FileAttachment, type GraphMessage } from './message.ts';
import { refuse } from './refusal.ts';
import type { GraphSite } from './site.ts';

/** A draft is a message in Drafts that can still change. */
export interface Draft {
  readonly id: string;
  readonly mailbox: Mailbox;
  /** JSON drafts can be changed, MIME drafts are what they are. */
  readonly source: GraphMessage | undefined;
  readonly attachments: FileAttachment[];
  message: Message;
}

export interface UploadSession {
  readonly draft: Draft;
  readonly item: { readonly name: string; readonly size: number; readonly contentType: string };
  readonly chunks: Buffer[];
  readonly expiresAt: number;
  received: number;
}

/** Attachments of at least 3 MB come in pieces of at most 4 MB; 150 MB is the most. */
export const UPLOAD = { least: 3 * 1024 * 1024, piece: 4 * 1024 * 1024, most: 150 * 1024 * 1024 };
const SESSION_MS = 7 * 86_400_000;
const MAX_KEPT = 1000;

export class Drafts {
  readonly #site: GraphSite;
  readonly #drafts = new Map<string, Draft>();
  readonly #sessions = new Map<string, UploadSession>();

  constructor(site: GraphSite) {
    this.#site = site;
  }

  create(mailbox: Mailbox, raw: Buffer, source?: GraphMessage): Draft {
    while (this.#drafts.size >= MAX_KEPT) this.#drafts.delete(this.#drafts.keys().next().value!);
    const draft: Draft = { id: newId('AAMk'), mailbox, source, attachments: [], message: this.#place(mailbox, raw) };
    this.#drafts.set(draft.id, draft);
    return draft;
  }

  /** @throws sandbox.graph 404 */
  find(mailbox: Mailbox, id: string): Draft {
    const draft = this.#drafts.get(id);
    if (draft?.mailbox !== mailbox)
      throw refuse(404, 'ErrorItemNotFound', 'The specified object was not found in the store.');
    return draft;
  }

  remove(draft: Draft): void {
    this.#drafts.delete(draft.id);
    folderOf(draft.mailbox).remove([draft.message]);
    for (const [key, session] of this.#sessions) if (session.draft === draft) this.#drop(key, session);
  }

  /** @throws sandbox.graph 400 */
  async attach(draft: Draft, attachment: Omit<FileAttachment, 'id'>): Promise<FileAttachment> {
    if (!draft.source)
      throw refuse(400, 'ErrorInvalidRequest', 'A draft made from MIME content takes no attachments here.');
    const file = { ...attachment, id: newId('AAMkA') };
    draft.attachments.push(file);
    const raw = await compose(draft.source, draft.attachments, draft.mailbox.address, this.#site.mail.clock.now());
    folderOf(draft.mailbox).remove([draft.message]);
    draft.message = this.#place(draft.mailbox, raw);
    return file;
  }

  /** Gives the URL that takes the pieces. @throws sandbox.graph 400 */
  openSession(draft: Draft, item: UploadSession['item']): { readonly key: string; readonly session: UploadSession } {
    if (item.size < UPLOAD.least)
      throw refuse(
        400,
        'ErrorAttachmentSizeShouldNotBeLessThanMinimumSize',
        'Attachment size must be greater than the minimum size.',
      );
    if (item.size > UPLOAD.most)
      throw refuse(400, 'ErrorAttachmentSizeLimitExceeded', 'Attachment size exceeds the allowed maximum size.');
    const expiresAt = this.#site.mail.clock.now() + SESSION_MS;
    const session: UploadSession = { draft, item, chunks: [], expiresAt, received: 0 };
    const key = randomBytes(24).toString('base64url');
    this.#sessions.set(key, session);
    return { key, session };
  }

  /** @throws sandbox.graph 404 */
  session(key: string): UploadSession {
    const session = this.#sessions.get(key);
    if (!session || session.expiresAt <= this.#site.mail.clock.now())
      throw refuse(404, 'ErrorItemNotFound', 'The upload session was not found.');
    return session;
  }

  /** Takes one piece; gives the attachment when it was the last. @throws sandbox.graph 400, 413, 416, 503 */
  async put(key: string, range: string | undefined, piece: Buffer): Promise<FileAttachment | undefined> {
    const session = this.session(key);
    const { item } = session;
    const [, first, last, total] = /^bytes (\d{1,12})-(\d{1,12})\/(\d{1,12})$/.exec(range ?? '') ?? [];
    if (first === undefined || Number(total) !== item.size || Number(last) - Number(first) + 1 !== piece.length)
      throw refuse(400, 'ErrorInvalidRequest', 'The Content-Range header does not fit the content.');
    if (Number(first) !== session.received || Number(last) >= item.size)
      throw refuse(416, 'InvalidRange', `The range expected next is ${session.received}-.`);
    if (!this.#site.mail.ledger.reserve(piece.length))
      throw refuse(503, 'serviceNotAvailable', 'The service is temporarily unavailable.', { 'retry-after': '5' });
    session.chunks.push(piece);
    session.received += piece.length;
    if (session.received < item.size) return undefined;
    const { name, contentType } = item;
    const content = Buffer.concat(session.chunks);
    this.#drop(key, session);
    return this.attach(session.draft, { name, contentType, content });
  }

  cancel(key: string): void {
    this.#drop(key, this.session(key));
  }

  #drop(key: string, session: UploadSession): void {
    this.#sessions.delete(key);
    this.#site.mail.ledger.release(session.received);
    session.received = 0;
  }

  #place(mailbox: Mailbox, raw: Buffer): Message {
    return folderOf(mailbox).add(raw, this.#site.mail.clock.now(), ['\\Draft', '\\Seen']);
  }
}

function folderOf(mailbox: Mailbox): ReturnType<Mailbox['create']> {
  return mailbox.find('Drafts') ?? mailbox.create('Drafts', '\\Drafts');
}

const newId = (prefix: string): string => `${prefix}${randomBytes(36).toString('base64url')}=`;
