/** The session at the provider that takes over: brought into the place of the one before, so that the client can go on there. */
import type { Socket } from 'node:net';
import type { PosternError } from '../../base/error.ts';
import type { Response } from '../../protocol/imap/response.ts';
import { lineOf, type ResponseSegments } from '../../protocol/imap/response-reader.ts';
import { formatSequenceSet } from '../../protocol/imap/sequence-set.ts';
import { type CommandOptions, ImapSession, SESSION_LIMITS, type SessionLimits } from '../../protocol/imap/session.ts';
import { enable } from '../../protocol/imap/verb/enable.ts';
import { Fetched } from '../../protocol/imap/verb/fetch.ts';
import { noteSelected, select, type SelectedMailbox } from '../../protocol/imap/verb/select.ts';
import type { Conn } from '../../protocol/wire/conn.ts';
import { upstreamError } from '../../upstream/errors.ts';
import type { Selection } from './selecting.ts';
import { MessageView } from './view.ts';

/** What a session is in the middle of, as far as a new one has to know. */
export interface Place {
  /** Extensions that ENABLE turned on (RFC 5161), in capitals. */
  readonly enabled: ReadonlySet<string>;
  readonly selection: Selection | undefined;
}

/** `changed`: the mailbox is not there, or not the same any more (UIDVALIDITY), or an extension is gone. */
export type Entered = 'entered' | 'changed';

/** Lists of UIDs and flags of any length; what is in literals is not looked at. */
const LIMITS: SessionLimits = { ...SESSION_LIMITS, line: 1024 * 1024, literal: 0 };

export class Successor {
  readonly #conn: Conn;
  readonly #session: ImapSession;
  readonly #now: () => number;
  #view = new MessageView();
  #mailbox: SelectedMailbox = {};
  /** Sequence numbers whose flags changed since the mailbox was selected. */
  #changed = new Set<number>();
  #readOnly = false;
  #enabled = new Set<string>();
  #selection: Selection | undefined;

  /** @param conn signed in; `prefix` begins our tags; `now` tells the time */
  constructor(conn: Conn, prefix: string, now: () => number) {
    this.#conn = conn;
    this.#session = new ImapSession(conn, { host: 'the provider', prefix, limits: LIMITS });
    this.#now = now;
  }

  /** False once the server has gone. */
  get alive(): boolean {
    return !this.#conn.closed && !this.#conn.socket.destroyed;
  }

  /** What the client will be in, with the new session's numbers. */
  get selection(): Selection | undefined {
    return (
      this.#selection && {
        ...this.#selection,
        view: this.#view,
        ...this.#mailbox,
        readOnly: this.#readOnly,
      }
    );
  }

  /** The last RECENT; servers of IMAP4rev2 have none. */
  get recent(): number | undefined {
    return this.#mailbox.recent;
  }

  /** Goes where the client is, or leaves the mailbox when it is in none. @throws wire.*, or the signal's reason */
  async enter({ enabled, selection }: Place, signal: AbortSignal): Promise<Entered> {
    const missing = [...enabled].filter((name) => !this.#enabled.has(name));
    if (missing.length > 0) {
      const { status, enabled: now } = await enable(this.#session, missing, this.#listening(signal));
      for (const name of now) this.#enabled.add(name);
      if (status !== 'OK' || missing.some((name) => !this.#enabled.has(name))) return 'changed';
    }
    if (selection === undefined) {
      this.#selection = undefined; // a mailbox still selected here does no harm: the next SELECT leaves it
      return 'entered';
    }
    this.#forget();
    const condstore = selection.condstore && !enabled.has('QRESYNC');
    const { status, text, readOnly, mailbox } = await select(
      this.#session,
      { verb: selection.verb, mailbox: Buffer.from(selection.name, 'latin1'), condstore },
      this.#listening(signal),
    );
    this.#readOnly = readOnly;
    const reply = `${status} ${text}`;
    if (status === 'BAD' || TEMPORARY.test(reply)) throw refused(reply, this.#now());
    if (status !== 'OK' || mailbox.uidValidity !== selection.uidValidity) return 'changed';
    this.#selection = selection;
    await this.number(signal);
    return 'entered';
  }

  /** Has the server say what happened since. @throws wire.*, or the signal's reason */
  async refresh(signal: AbortSignal): Promise<void> {
    await this.#session.run('NOOP', this.#listening(signal));
    await this.number(signal);
  }

  /** Asks for the UIDs that are not known. @throws wire.*, or the signal's reason */
  async number(signal: AbortSignal): Promise<void> {
    for (let turn = 0; turn < MAX_TURNS && !this.#view.complete && !this.#view.broken; turn++)
      await this.#session.run(`FETCH ${this.#view.firstUnknown}:* (UID)`, this.#listening(signal));
  }

  /**
   * The flags the client has to be told, as the server puts them, with whatever else it says meanwhile. The view is the
   * client's from here on.
   * @param since `changes`: what this session saw change; a MODSEQ: what changed after it; `everything`
   */
  async flags(since: 'changes' | 'everything' | { readonly modSeq: string }, signal: AbortSignal): Promise<string[]> {
    const lines: string[] = [];
    const set = since === 'changes' ? formatSequenceSet([...this.#changed].sort((a, b) => a - b)) : '1:*';
    if (set === '' || this.#view.count === 0) return lines;
    const items = this.#selection?.condstore === true ? '(UID FLAGS MODSEQ)' : '(FLAGS)';
    const modifier = typeof since === 'string' ? '' : ` (CHANGEDSINCE ${since.modSeq})`;
    await this.#session.run(`FETCH ${set} ${items}${modifier}`, this.#listening(signal, lines));
    return lines;
  }

  /** Ends our part: the socket and what was read from it but not taken. @throws wire.closed */
  detach(): { readonly socket: Socket; readonly rest: Buffer } {
    return this.#conn.detach();
  }

  /** Not needed after all. */
  leave(): void {
    this.#session.end();
  }

  #forget(): void {
    this.#view = new MessageView();
    this.#changed.clear();
    this.#mailbox = {};
    this.#selection = undefined;
  }

  /** @param lines collects what is for the client */
  #listening(signal: AbortSignal, lines?: string[]): CommandOptions {
    return {
      signal,
      literal: () => skip,
      untagged: (response, segments) => this.#untagged(response, segments, lines),
    };
  }

  #untagged(response: Response, segments: ResponseSegments, lines: string[] | undefined): void {
    noteSelected(this.#mailbox, response);
    switch (response.type) {
      case 'message-count':
        if (response.name === 'EXISTS') this.#view.exists(response.number);
        break;
      case 'expunge':
        this.#view.expunge(response.number);
        this.#changed = new Set(
          [...this.#changed].flatMap((each) =>
            each === response.number ? [] : [each > response.number ? each - 1 : each],
          ),
        );
        break;
      case 'vanished':
        if (response.earlier) return;
        this.#view.vanished(response.set);
        this.#changed.clear(); // whoever gets VANISHED knows MODSEQs, and asks by them
        break;
      case 'fetch': {
        const { number, uid, items } = new Fetched(response);
        if (uid !== undefined && items.size === 1) {
          this.#view.learn(number, uid);
          return;
        }
        this.#changed.add(number);
        break;
      }
      case 'flags':
        break;
      default:
        return;
    }
    lines?.push(lineOf(segments));
  }
}

async function skip(octets: AsyncIterable<Buffer>): Promise<void> {
  for await (const _ of octets);
}

/** RFC 5530 §3, and Exchange's words. */
const TEMPORARY = /^NO (?:\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG)\]|.*(?:throttled|server (?:is )?unavailable))/i;

/** The server does not let us in just now; Exchange says for how long (`Suggested Backoff Time: 92415 milliseconds`). */
function refused(text: string, now: number): PosternError {
  const [, wait] = /Backoff Time: (\d{1,9}) /i.exec(text) ?? [];
  const retry = wait === undefined ? {} : { retryAt: new Date(now + Number(wait)) };
  return upstreamError('gateway.provider-unreachable', `the provider answers: ${text.slice(0, 200)}`, retry);
}

/** Mail that arrives while we ask makes us ask again, but not for ever. */
const MAX_TURNS = 20;
