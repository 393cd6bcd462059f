/** What the drivers of real mail programs have in common: the door they come in by, and the jobs they are given. */

/** How the leg between the mail program and the gateway is secured. */
export type Security = 'plain' | 'starttls' | 'tls';
export const SECURITIES: readonly Security[] = ['plain', 'starttls', 'tls'];

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** All that a mail program is told. `imap`, `pop3`, `smtp` speak plainly and offer STARTTLS, the others are TLS at once. */
export interface Door {
  readonly imap: Address;
  readonly imaps: Address;
  readonly pop3: Address;
  readonly pop3s: Address;
  readonly smtp: Address;
  readonly smtps: Address;
  /** The authority to trust, as a PEM file. */
  readonly caPath: string;
  readonly user: string;
  readonly password: string;
}

export interface Job {
  readonly door: Door;
  readonly security: Security;
  /** An empty folder for configuration and results; also the program's HOME. */
  readonly folder: string;
}

/** Subjects of the letters that lie in INBOX when a tour begins. */
export const KEEP = 'letter-to-keep';
export const MOVE = 'letter-to-move';
export const DELETE = 'letter-to-delete';

/** A tour of INBOX: read and flag `KEEP`, move `MOVE` to Archive, append `appended`, delete `DELETE`. */
export interface ImapTour extends Job {
  readonly appended: Buffer;
}

export interface Sending extends Job {
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  /** Path of the file to attach. */
  readonly attachment: string;
  /** The same as a finished message with CRLF line ends, for programs that do not compose. */
  readonly message: Buffer;
}

/**
 * One mail program. Results are asserted at the server; what is returned is what only the program has seen.
 * A `drain` fetches all of INBOX and deletes it, as programs do that only collect mail.
 */
export interface Client {
  readonly name: string;
  /** Debian package; undefined for npm packages, which are always here. */
  readonly package?: string;
  /** Gives the source of `KEEP` as the program got it. */
  readonly imapTour?: (tour: ImapTour) => Promise<Buffer>;
  readonly imapDrain?: (job: Job) => Promise<readonly Buffer[]>;
  /** Reads every letter and deletes `DELETE`; gives all sources. */
  readonly pop3Tour?: (job: Job) => Promise<readonly Buffer[]>;
  readonly pop3Drain?: (job: Job) => Promise<readonly Buffer[]>;
  readonly send?: (sending: Sending) => Promise<void>;
  /** Securities this program cannot be configured for, with the reason. */
  readonly cannot?: Partial<Record<Security, string>>;
}

export function addressOf(door: Door, protocol: 'imap' | 'pop3' | 'smtp', security: Security): Address {
  return door[security === 'tls' ? (`${protocol}s` as const) : protocol];
}
