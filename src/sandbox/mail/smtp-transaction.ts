/** One SMTP transaction: what was said of the message, and as much of the message as fits. */
import type { Ledger } from '../limits.ts';

export class Transaction {
  readonly from: string;
  readonly binary: boolean;
  readonly recipients: string[] = [];
  /** BDAT has begun: DATA is no longer allowed (RFC 3030 §2). */
  chunking = false;
  readonly #ledger: Ledger;
  readonly #leave: () => void;
  readonly #chunks: Buffer[] = [];
  #octets = 0;
  #reserved = 0;
  /** There was no room for it beside the uploads of others. */
  crowded = false;

  constructor(ledger: Ledger, mailbox: string, mail: { readonly from: string; readonly binary: boolean }) {
    this.from = mail.from;
    this.binary = mail.binary;
    this.#ledger = ledger;
    this.#leave = ledger.enter(mailbox, 'smtp');
  }

  get tooLarge(): boolean {
    return this.#octets > this.#ledger.limits.messageOctets;
  }

  /** Keeps what fits; the rest is counted only. */
  collect(piece: Buffer): void {
    this.#octets += piece.length;
    if (this.tooLarge || this.crowded) return;
    this.crowded = !this.#ledger.reserve(piece.length);
    if (this.crowded) return;
    this.#reserved += piece.length;
    this.#chunks.push(piece);
  }

  message(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Gives back what it held, whatever became of it. */
  end(): void {
    this.#leave();
    this.#ledger.release(this.#reserved);
    this.#reserved = 0;
    this.#chunks.length = 0;
  }
}
