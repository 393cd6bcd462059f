/**
 * The copy of a sent message that its program stores in Sent (APPEND, RFC 9051 §6.3.12) beside the provider's own: whether it may
 * be left out. In doubt it is stored: two copies are a nuisance, none is a loss (docs/decisions/016-own-sent-copy.md).
 */
import type { Clock } from '../../base/clock.ts';
import { asError } from '../../base/error.ts';
import type { Log } from '../../base/log.ts';
import type { Response } from '../../protocol/imap/response.ts';
import { type ListedMailbox, sentMailbox } from '../../protocol/imap/verb/list.ts';
import { readFields, utf8 } from '../../protocol/mime/header-fields.ts';
import type { Mailbox } from '../../store/types.ts';

/** A message as its program wants to store it. */
export interface OwnCopy {
  /** With angle brackets. */
  readonly messageId: string;
  readonly octets: number;
}

/** Whoever knows what a mailbox has sent; composed by the server room, because the gateway does not know the outbox. */
export interface SentCopies {
  /**
   * Whether the provider took this message from the mailbox a moment ago and keeps a copy of it by itself. `not-yet`: it is on its
   * way there. @throws store.unavailable
   */
  keeps(mailbox: Mailbox, copy: OwnCopy): Promise<'yes' | 'not-yet' | 'no'>;
}

/** APPEND of one message, whose text follows. */
export interface AppendCommand {
  readonly mailbox: string;
  readonly octets: number;
  /** The program waits to be asked for the text. */
  readonly waits: boolean;
}

export interface CopyJudgePorts {
  readonly clock: Clock;
  /** The time of connections. */
  readonly wall: Clock;
  readonly log: Log;
  readonly keeps: (copy: OwnCopy) => ReturnType<SentCopies['keeps']>;
  /** Asks the server; undefined when it does not say. */
  folders(): Promise<readonly ListedMailbox[] | undefined>;
}

/** A program stores its copy right after it has sent the message: what is older is an import, or put there by hand. */
const FRESH_MS = 15 * 60_000;
/** The record of a message that another process relayed is a tenth of a second on its way to the database. */
const KNOWN_SOON_MS = 1_000;
/** The outbox delivers within a second or two; programs wait for a minute. */
const SENT_SOON_MS = 10_000;
const LOOK_MS = 250;
/** Name, flags and date as most programs give them. A name in a literal, and what RFC 3502 and 4469 add, are left to the server. */
const APPEND =
  /^APPEND +(?:"((?:[^"\\]|\\["\\])*)"|([^\s"(){%*\\]+)) +(?:\([^()"]*\) +)?(?:"[^"\\]*" +)?[{](\d{1,10})(\+?)[}]$/i;

/** @param line of the command up to its first literal, without tag and CRLF */
export function appendOf(line: string): AppendCommand | undefined {
  const [, quoted, atom, octets, plus] = APPEND.exec(line) ?? [];
  if (octets === undefined || Number(octets) === 0) return undefined;
  return {
    mailbox: atom ?? quoted!.replace(/\\(.)/g, '$1'),
    octets: Number(octets),
    waits: plus === '',
  };
}

/** What a server lists for us. */
export class ListedFolders {
  #found: ListedMailbox[] | undefined;

  /** True while LIST responses are for us. */
  get wanted(): boolean {
    return this.#found !== undefined;
  }

  /** @param list has the server list all; undefined when it does not */
  async ask(list: () => Promise<string>): Promise<readonly ListedMailbox[] | undefined> {
    const found: ListedMailbox[] = [];
    this.#found = found;
    const answer = await list();
    this.#found = undefined;
    return answer === 'OK' ? found : undefined;
  }

  /** @returns true for a response that is for us alone; a name in a literal, which is still to come, is not */
  heard(response: Response): boolean {
    if (this.#found === undefined || response.type !== 'list' || LITERAL.test(response.name)) return false;
    this.#found.push(response);
    return true;
  }
}

const LITERAL = /^[{]\d{1,10}[}]$/;

/** Decides copy by copy, for one session. */
export class CopyJudge {
  readonly #ports: CopyJudgePorts;
  #sent: string | undefined;

  constructor(ports: CopyJudgePorts) {
    this.#ports = ports;
  }

  /** @param header whole, or undefined when it is too long to be looked at @returns true when the copy may be left out. Never rejects */
  async mayDrop({ mailbox, octets }: AppendCommand, header: Buffer | undefined, signal: AbortSignal): Promise<boolean> {
    const { clock, log } = this.#ports;
    try {
      const found = header === undefined ? { why: 'its header is too long' } : idOf(header, clock.now());
      if ('why' in found) {
        // Not worth asking the server which folder it is.
        if (mailbox === this.#sent || SENT_NAME.test(mailbox)) log.info({ folder: mailbox, why: found.why }, STORED);
        return false;
      }
      const { messageId } = found;
      if (!(await this.#isSent(mailbox))) return false;
      if (!(await this.#isKept({ messageId, octets }, signal))) {
        log.info({ folder: mailbox, why: NOT_KEPT }, STORED);
        return false;
      }
      log.info({ folder: mailbox }, 'a program’s own copy of a sent message was left out: the provider keeps one');
      return true;
    } catch (error) {
      if (!signal.aborted) log.warn({ code: asError(error).code }, 'a copy was stored without a look at what was sent');
      return false;
    }
  }

  async #isSent(mailbox: string): Promise<boolean> {
    if (this.#sent === undefined) {
      this.#sent = sentMailbox((await this.#ports.folders()) ?? []);
    }
    return this.#sent === mailbox;
  }

  async #isKept(copy: OwnCopy, signal: AbortSignal): Promise<boolean> {
    const { keeps, wall } = this.#ports;
    const since = wall.now();
    for (;;) {
      const answer = await keeps(copy);
      if (answer === 'yes') return true;
      if (wall.now() - since >= (answer === 'no' ? KNOWN_SOON_MS : SENT_SOON_MS)) return false;
      await wall.sleep(LOOK_MS, signal);
    }
  }
}

const STORED = 'a program’s own copy of a message was stored, although its app password leaves such copies out';
const NOT_KEPT =
  'the provider took no message of this Message-ID and size from this mailbox in the last 15 minutes, or keeps no copy of it';
const SENT_NAME = /(?:^|[./\\])sent(?:$|[ -])/i;

/**
 * The Message-ID of a message written a moment ago in which nothing stands that the provider's copy would not have; otherwise why
 * it is none.
 */
function idOf(header: Buffer, now: number): { readonly messageId: string } | { readonly why: string } {
  const fields = readFields(header.toString('latin1'), { skipUnreadable: true });
  if ('problem' in fields) return { why: 'its header cannot be read' };
  const values = (name: string): readonly string[] =>
    fields.flatMap((field) => (field.name === name ? [field.value] : []));
  const [id, second] = values('message-id');
  const [date = ''] = values('date');
  // Only the program's own copy says who got a blind copy.
  const blind = values('bcc').some((value) => value !== '');
  if (id === undefined || second !== undefined || !/^<[^<>\s]{1,998}>$/.test(id))
    return { why: 'it has no Message-ID, or more than one' };
  if (blind) return { why: 'it has Bcc, which the copy of the provider lacks' };
  return Math.abs(Date.parse(date) - now) <= FRESH_MS
    ? { messageId: utf8(id) }
    : { why: 'its Date is not of the last 15 minutes by the clock of this machine, or missing' };
}

/** What the tap of a session needs for it; nothing for a session whose copies are all stored. */
export function copiesJudged(
  options: Pick<CopyJudgePorts, 'clock' | 'log'> & { readonly keepsCopy?: CopyJudgePorts['keeps'] },
  wall: Clock,
  stop: { readonly signal: AbortSignal },
  tap: () => { readonly listed: ListedFolders; ask(command: string): Promise<string> },
): { mayDrop?(append: AppendCommand, header: Buffer | undefined): Promise<boolean> } {
  const { keepsCopy } = options; // the log is made when it is asked for
  if (keepsCopy === undefined) return {};
  const folders = (): ReturnType<CopyJudgePorts['folders']> => tap().listed.ask(() => tap().ask('LIST "" "*"'));
  const judge = new CopyJudge({ clock: options.clock, wall, log: options.log, keeps: keepsCopy, folders });
  return { mayDrop: (append, header) => judge.mayDrop(append, header, stop.signal) };
}
