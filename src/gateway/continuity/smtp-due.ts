/** Replies that are due in an SMTP session, in their order: the server's, and ours in between. No I/O. */
import { InTurn } from './in-turn.ts';
import type { SmtpText } from './smtp-text.ts';

export interface Due {
  readonly verb: string;
  /** Of MAIL and RCPT. */
  readonly address?: string;
  /** Ours, said when its turn comes; the server knows nothing of it. */
  readonly reply?: string;
  /** Whose end it is. */
  readonly text?: SmtpText | undefined;
}

/** Of each, besides its words. */
const ENTRY_OCTETS = 64;
/** About a thousand commands, far more than a program sends at once (RFC 2920 §3.1: a window of TCP). The rest is read later. */
const MAX_OCTETS = 64 * 1024;
export class DueReplies {
  readonly #inTurn = new InTurn<Due>();
  /** What they take in memory, about. */
  octets = 0;
  /** Whole messages whose replies are due. */
  #messages = 0;

  get length(): number {
    return this.#inTurn.length;
  }

  get first(): Due | undefined {
    return this.#inTurn.first;
  }

  /** No more is to be asked for until some of these have come. */
  get full(): boolean {
    return this.octets >= MAX_OCTETS;
  }

  /** Enough of them have come to go on: not one command for each reply. */
  get roomy(): boolean {
    return this.octets <= MAX_OCTETS / 2;
  }

  /** A whole message is with the server. */
  get hasMessage(): boolean {
    return this.#messages > 0;
  }

  add(due: Due): void {
    this.#inTurn.push(due);
    this.octets += octetsOf(due);
    if (isMessage(due)) this.#messages += 1;
  }

  take(): Due | undefined {
    const due = this.#inTurn.shift();
    if (due === undefined) return undefined;
    this.octets -= octetsOf(due);
    if (isMessage(due)) this.#messages -= 1;
    return due;
  }
}

function octetsOf({ address, reply }: Due): number {
  return ENTRY_OCTETS + (address?.length ?? 0) + (reply?.length ?? 0);
}

function isMessage({ verb }: Due): boolean {
  return verb === '.' || verb === 'BDAT LAST';
}
