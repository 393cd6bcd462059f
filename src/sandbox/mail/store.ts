/** Mailboxes of the tenant, in memory: what IMAP, POP3 and SMTP share. */
import type { Clock } from '../../base/clock.ts';

export interface Message {
  readonly uid: number;
  readonly raw: Buffer;
  readonly internalDate: number;
  /** Replaced, never changed in place. */
  flags: ReadonlySet<string>;
}

export type FolderEvent =
  | { readonly type: 'added' | 'removed'; readonly message: Message }
  | { readonly type: 'flags'; readonly message: Message; readonly by: unknown }
  | { readonly type: 'gone' };

export interface FolderOptions {
  readonly uidValidity: number;
  /** Special use (RFC 6154), as Exchange shows it in LIST. */
  readonly use?: string;
}

/** One mailbox in the IMAP sense. Observers hear of every change at once. */
export class Folder {
  name: string;
  readonly use: string | undefined;
  uidValidity: number;
  /** In order of UID. */
  messages: readonly Message[] = [];
  uidNext = 1;
  /** Messages from this UID on have been shown to no session yet (RFC 3501 §2.3.2 `\Recent`). */
  recentFrom = 1;
  readonly #observers = new Set<(event: FolderEvent) => void>();

  constructor(name: string, options: FolderOptions) {
    this.name = name;
    this.use = options.use;
    this.uidValidity = options.uidValidity;
  }

  observe(observer: (event: FolderEvent) => void): () => void {
    this.#observers.add(observer);
    return () => void this.#observers.delete(observer);
  }

  add(raw: Buffer, internalDate: number, flags: Iterable<string> = []): Message {
    const message: Message = { uid: this.uidNext++, raw, internalDate, flags: new Set(flags) };
    (this.messages as Message[]).push(message);
    this.#tell({ type: 'added', message });
    return message;
  }

  setFlags(message: Message, flags: Iterable<string>, by: unknown): void {
    const next = new Set(flags);
    if (next.size === message.flags.size && [...next].every((flag) => message.flags.has(flag))) return;
    message.flags = next;
    this.#tell({ type: 'flags', message, by });
  }

  remove(doomed: Iterable<Message>): void {
    const gone = new Set(doomed);
    if (gone.size === 0) return;
    const removed = this.messages.filter((message) => gone.has(message));
    this.messages = this.messages.filter((message) => !gone.has(message));
    for (const message of removed) this.#tell({ type: 'removed', message });
  }

  /** Begins again under another UIDVALIDITY: the same messages with new UIDs. Sessions in it are ended. */
  rebuild(uidValidity: number): void {
    const { messages } = this;
    this.close();
    this.uidValidity = uidValidity;
    this.messages = [];
    this.uidNext = this.recentFrom = 1;
    for (const { raw, internalDate, flags } of messages) this.add(raw, internalDate, flags);
  }

  /** Tells observers that the folder was deleted. */
  close(): void {
    this.#tell({ type: 'gone' });
  }

  #tell(event: FolderEvent): void {
    for (const observer of this.#observers) observer(event);
  }
}

export interface MailboxRights {
  /** Addresses of people with full access who may also send as this mailbox. */
  readonly delegates?: readonly string[];
  /** Client ids with access as themselves. */
  readonly applications?: readonly string[];
}

export class Mailbox {
  readonly address: string;
  readonly delegates: Set<string>;
  readonly applications: Set<string>;
  readonly subscribed = new Set<string>();
  /** A maildrop is open to one POP3 session at a time (RFC 1939 §4). */
  popLocked = false;
  /** By name; INBOX in capitals. */
  readonly folders = new Map<string, Folder>();
  readonly #nextValidity: () => number;

  constructor(address: string, rights: MailboxRights, nextValidity: () => number) {
    this.address = address;
    this.delegates = new Set((rights.delegates ?? []).map((name) => name.toLowerCase()));
    this.applications = new Set(rights.applications);
    this.#nextValidity = nextValidity;
    for (const [name, use] of standardFolders) {
      this.create(name, use);
      this.subscribed.add(name);
    }
  }

  get inbox(): Folder {
    return this.folders.get('INBOX')!;
  }

  get sent(): Folder {
    return this.folders.get('Sent Items') ?? this.create('Sent Items', '\\Sent');
  }

  find(name: string): Folder | undefined {
    return this.folders.get(canonicalName(name));
  }

  /** Also makes the folders above. The caller has checked that there is none of this name. */
  create(name: string, use?: string): Folder {
    this.#createAbove(name);
    const folder = new Folder(canonicalName(name), { uidValidity: this.#nextValidity(), ...(use ? { use } : {}) });
    this.folders.set(folder.name, folder);
    return folder;
  }

  rebuild(folder: Folder): void {
    folder.rebuild(this.#nextValidity());
  }

  delete(folder: Folder): void {
    this.folders.delete(folder.name);
    folder.close();
  }

  #createAbove(name: string): void {
    const levels = name.split('/');
    for (let depth = 1; depth < levels.length; depth++) {
      const above = canonicalName(levels.slice(0, depth).join('/'));
      if (!this.folders.has(above)) this.folders.set(above, new Folder(above, { uidValidity: this.#nextValidity() }));
    }
  }

  /** Renames a folder and those below it; renaming INBOX moves its messages (RFC 3501 §6.3.5). */
  rename(folder: Folder, to: string): void {
    if (folder === this.inbox) {
      const target = this.create(to);
      for (const message of folder.messages) target.add(message.raw, message.internalDate, message.flags);
      folder.remove(folder.messages);
      return;
    }
    this.#createAbove(to);
    const from = folder.name;
    const moved = [...this.folders.values()].filter(({ name }) => name === from || name.startsWith(`${from}/`));
    for (const each of moved) {
      this.folders.delete(each.name);
      each.name = to + each.name.slice(from.length);
      this.folders.set(each.name, each);
    }
  }
}

export interface MailStore {
  readonly mailboxes: ReadonlyMap<string, Mailbox>;
  /** Mail accepted for other domains, kept instead of sent. */
  readonly outside: OutsideMail[];
  /** Told of every transaction that is taken, by whichever way it came, before anybody gets it. */
  readonly takers: Set<(mail: TakenMail) => void>;
  addMailbox(address: string, rights?: MailboxRights): Mailbox;
  find(address: string): Mailbox | undefined;
  /** Puts a message into the INBOX of `address`; undefined when there is no such mailbox. */
  deliver(
    address: string,
    raw: Buffer,
    options?: { readonly at?: number; readonly flags?: Iterable<string> },
  ): Message | undefined;
}

/** What the provider has taken on, and for whom. */
export interface TakenMail {
  readonly place: 'smtp' | 'graph';
  readonly recipients: readonly string[];
  readonly raw: Buffer;
}

export interface OutsideMail {
  readonly from: string;
  readonly to: readonly string[];
  readonly raw: Buffer;
  readonly at: number;
}

export interface MailStoreOptions {
  readonly clock: Clock;
  /** Called for an address without a mailbox; it may add one. */
  readonly missing?: (store: MailStore, address: string) => Mailbox | undefined;
}

export function createMailStore({ clock, missing }: MailStoreOptions): MailStore {
  const mailboxes = new Map<string, Mailbox>();
  let validity = 13;
  const find = (address: string): Mailbox | undefined => {
    const wanted = address.trim().toLowerCase();
    return mailboxes.get(wanted) ?? missing?.(store, wanted);
  };
  const store: MailStore = {
    mailboxes,
    outside: [],
    takers: new Set(),
    find,
    addMailbox(address, rights = {}) {
      const mailbox = new Mailbox(address.toLowerCase(), rights, () => ++validity);
      mailboxes.set(mailbox.address, mailbox);
      return mailbox;
    },
    deliver: (address, raw, options = {}) =>
      find(address)?.inbox.add(raw, options.at ?? clock.now(), options.flags ?? []),
  };
  return store;
}

/** INBOX in any case is one name, also as the first level (RFC 3501 §5.1). */
export function canonicalName(name: string): string {
  return name.replace(/^inbox(?=\/|$)/i, 'INBOX');
}

const standardFolders: readonly (readonly [string, string | undefined])[] = [
  ['INBOX', undefined],
  ['Archive', '\\Archive'],
  ['Deleted Items', '\\Trash'],
  ['Drafts', '\\Drafts'],
  ['Junk Email', '\\Junk'],
  ['Sent Items', '\\Sent'],
];
