import type { Fault } from '../../base/guard.ts';
import type { AppendCommand } from './sent-copy.ts';

/** What the tap of an IMAP session may do by itself. */
export interface TapPorts {
  /** Whole lines of ours, one octet per character. */
  toClient(text: string): void;
  toServer(bytes: Buffer): void;
  /** A command was answered, an IDLE began or ended: what waits for such a moment may look again. */
  changed(): void;
  /** The client says LOGOUT, with or without a mailbox selected, or first of all. @returns true when the server is not to hear of it */
  leaves(tag: string, selected: boolean, unused: boolean): boolean;
  /** Less is kept back from the client's octets than before. */
  flows(): void;
  /** A command has gone to the server: an answer is awaited. */
  asked(): void;
  /** The client cannot go on: it gets this as its last line. */
  end(text: string): void;
  /** Told what was thrown where nobody waits for it. */
  readonly fault?: Fault | undefined;
  /**
   * Whether this message, about to be stored, is to be left out. Never rejects. Without it nothing is asked.
   * @param header undefined when it is too long
   */
  mayDrop?(append: AppendCommand, header: Buffer | undefined): Promise<boolean>;
}
