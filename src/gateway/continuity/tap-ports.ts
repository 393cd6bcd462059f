/** What the tap of an IMAP session may do by itself. */
export interface TapPorts {
  /** Whole lines of ours, one octet per character. */
  toClient(text: string): void;
  toServer(bytes: Buffer): void;
  /** A command was answered, an IDLE began or ended: what waits for such a moment may look again. */
  changed(): void;
  /** The client says LOGOUT, with or without a mailbox selected. @returns true when the server is not to hear of it */
  leaves(tag: string, selected: boolean): boolean;
  /** The client cannot go on: it gets this as its last line. */
  end(text: string): void;
}
