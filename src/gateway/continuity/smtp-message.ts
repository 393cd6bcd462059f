/** A message that is relayed: what is asked of it, and what is known of it. */
import type { Chunk } from '../../protocol/smtp/command-line.ts';
import type { SmtpText } from './smtp-text.ts';

/** What may pass. A reply refuses. */
export interface SmtpRules {
  /** @param address empty for the null reverse-path */
  sender(address: string): string | undefined;
  /** @param header as it came @param sender of the envelope */
  header(header: Buffer, sender: string): string | undefined;
}

/** A message the server has answered. */
export interface RelayedMessage {
  readonly from: string;
  /** Those the server took, the first hundred of them. */
  readonly to: readonly string[];
  readonly recipients: number;
  /** Octets of its text. */
  readonly octets: number;
  /** Of its header, with angle brackets; undefined where there is none, or more than one. */
  readonly messageId: string | undefined;
  /** The last line of the answer. */
  readonly reply: string;
  readonly taken: boolean;
}

/** A BDAT chunk of which octets are to come. */
export interface ChunkUnderWay extends Chunk {
  left: number;
  /** What it is part of; undefined when it goes to nobody. */
  text: SmtpText | undefined;
  /** Its command has passed: the server waits for the rest, and an answer is due. */
  passed: boolean;
}

/**
 * Of a dialogue. `asked`: DATA was said and not answered; `text`: the text of a message passes; `refused`: nobody gets the rest of it;
 * `held`: a command waits until all before it is answered, `full`: until some of it is.
 */
export type Mode = 'command' | 'asked' | 'held' | 'full' | 'text' | 'refused';

/** Recipients whose addresses are kept for the record; more are counted. */
const MAX_NAMED = 100;

interface Transaction {
  readonly from: string;
  readonly to: string[];
  recipients: number;
}

const NOBODY: readonly RelayedMessage[] = [];

/** The mail transaction of the server: its MAIL was accepted, and nothing has ended it. And the messages that it has answered. */
export class Transactions {
  #open: Transaction | undefined;
  readonly #ended: RelayedMessage[] = [];

  /** Of the one that is open; undefined when none is. */
  get sender(): string | undefined {
    return this.#open?.from;
  }

  /** Another one, or none, is open. */
  begin(from?: string): void {
    this.#open = from === undefined ? undefined : { from, to: [], recipients: 0 };
  }

  /** The server takes mail for this address. */
  takes(address: string): void {
    if (this.#open === undefined) return;
    this.#open.recipients += 1;
    if (this.#open.to.length < MAX_NAMED) this.#open.to.push(address);
  }

  /** Its message is answered. */
  end(reply: string, taken: boolean, text: SmtpText | undefined): void {
    if (this.#open)
      this.#ended.push({ ...this.#open, octets: text?.octets ?? 0, messageId: text?.messageId, reply, taken });
    this.#open = undefined;
  }

  /** Messages that were answered since the last call. */
  takeEnded(): readonly RelayedMessage[] {
    return this.#ended.length === 0 ? NOBODY : this.#ended.splice(0);
  }
}
