/** One session's sight of a selected folder: its sequence numbers, and changes it has not been told yet. */
import type { Folder, FolderEvent, Message } from './store.ts';

export class View {
  readonly folder: Folder;
  readonly readOnly: boolean;
  /** By sequence number minus one. Expunged messages stay until the session is told. */
  messages: Message[];
  readonly recent = new Set<Message>();
  /** Set when the folder was deleted under the session. */
  gone = false;
  readonly #removed = new Set<Message>();
  readonly #changed = new Set<Message>();
  readonly #added: Message[] = [];
  readonly #stop: () => void;
  #wake: (() => void) | undefined;

  constructor(folder: Folder, readOnly: boolean) {
    this.folder = folder;
    this.readOnly = readOnly;
    this.messages = [...folder.messages];
    for (const message of this.messages) this.#claim(message);
    this.#stop = folder.observe((event) => this.#onEvent(event));
  }

  get largestUid(): number {
    return this.messages.at(-1)?.uid ?? 0;
  }

  close(): void {
    this.#stop();
  }

  flagsOf(message: Message): string {
    return `(${[...message.flags, ...(this.recent.has(message) ? ['\\Recent'] : [])].join(' ')})`;
  }

  /** Resolves at the next change, or at once when there is one. */
  changed(): Promise<void> {
    if (this.#removed.size + this.#changed.size + this.#added.length > 0) return Promise.resolve();
    return new Promise((resolve) => (this.#wake = resolve));
  }

  /** A FETCH has told these flags already. */
  told(message: Message): void {
    this.#changed.delete(message);
  }

  /**
   * What is to be told now.
   * @param expunge false while numbers must not move (RFC 3501 §7.4.1)
   * @param recent false where there is no RECENT any more (RFC 9051, Appendix E)
   */
  tell(expunge: boolean, recent = true): string {
    const out: string[] = [];
    if (expunge && this.#removed.size > 0) {
      const kept: Message[] = [];
      for (const message of this.messages)
        if (this.#removed.has(message)) out.push(`* ${kept.length + 1} EXPUNGE\r\n`);
        else kept.push(message);
      this.messages = kept;
      // A message that came and went unseen is told in neither way.
      const added = this.#added.filter((message) => !this.#removed.has(message));
      this.#added.splice(0, this.#added.length, ...added);
      for (const message of this.#removed) this.recent.delete(message);
      this.#removed.clear();
    }
    const added = this.#added.splice(0);
    if (added.length > 0) {
      for (const message of added) this.#claim(message);
      this.messages.push(...added);
      out.push(`* ${this.messages.length} EXISTS\r\n`);
      if (recent) out.push(`* ${this.recent.size} RECENT\r\n`);
    }
    if (this.#changed.size > 0) {
      this.messages.forEach((message, index) => {
        if (this.#changed.has(message)) out.push(`* ${index + 1} FETCH (FLAGS ${this.flagsOf(message)})\r\n`);
      });
      this.#changed.clear();
    }
    return out.join('');
  }

  #claim(message: Message): void {
    if (message.uid < this.folder.recentFrom) return;
    this.recent.add(message);
    if (!this.readOnly) this.folder.recentFrom = message.uid + 1;
  }

  #onEvent(event: FolderEvent): void {
    if (event.type === 'added') this.#added.push(event.message);
    else if (event.type === 'removed') this.#removed.add(event.message);
    else if (event.type === 'gone') this.gone = true;
    else if (event.type === 'flags' && event.by !== this) this.#changed.add(event.message);
    this.#wake?.();
    this.#wake = undefined;
  }
}
