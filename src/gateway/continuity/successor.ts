/** The session at the provider that takes over: brought into the place of the one before, so that the client can go on there. */
import type { Socket } from 'node:net';
import type { PosternError } from '../../base/error.ts';
import { announcedLiteral } from '../../protocol/imap/token.ts';
import { formatSequenceSet } from '../../protocol/imap/sequence-set.ts';
import { protocolError } from '../../protocol/errors.ts';
import type { Conn } from '../../protocol/wire/conn.ts';
import { upstreamError } from '../../upstream/errors.ts';
import { NUMBERED } from './response-lines.ts';
import type { Selection } from './selection.ts';
import { MessageView } from './view.ts';

/** What a session is in the middle of, as far as a new one has to know. */
export interface Place {
  /** Extensions that ENABLE turned on (RFC 5161), in capitals. */
  readonly enabled: ReadonlySet<string>;
  readonly selection: Selection | undefined;
}

/** `changed`: the mailbox is not there, or not the same any more (UIDVALIDITY), or an extension is gone. */
export type Entered = 'entered' | 'changed';

const LINE_OCTETS = 1024 * 1024;

export class Successor {
  readonly #conn: Conn;
  readonly #prefix: string;
  readonly #now: () => number;
  #tag = 0;
  #view = new MessageView();
  #recent: number | undefined;
  /** Sequence numbers whose flags changed since the mailbox was selected. */
  #changed = new Set<number>();
  #flags: string | undefined;
  #permanentFlags: string | undefined;
  #uidValidity: number | undefined;
  #modSeq: string | undefined;
  #readOnly = false;
  #enabled = new Set<string>();
  #selection: Selection | undefined;

  /** @param conn signed in; `prefix` begins our tags; `now` tells the time */
  constructor(conn: Conn, prefix: string, now: () => number) {
    this.#conn = conn;
    this.#prefix = prefix;
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
        uidValidity: this.#uidValidity,
        modSeq: this.#modSeq,
        readOnly: this.#readOnly,
        flags: this.#flags,
        permanentFlags: this.#permanentFlags,
      }
    );
  }

  /** The last RECENT; servers of IMAP4rev2 have none. */
  get recent(): number | undefined {
    return this.#recent;
  }

  /** Goes where the client is, or leaves the mailbox when it is in none. @throws wire.*, or the signal's reason */
  async enter({ enabled, selection }: Place, signal: AbortSignal): Promise<Entered> {
    const missing = [...enabled].filter((name) => !this.#enabled.has(name));
    if (missing.length > 0) {
      const { status } = await this.#command(`ENABLE ${missing.join(' ')}`, signal);
      if (status !== 'OK' || missing.some((name) => !this.#enabled.has(name))) return 'changed';
    }
    if (selection === undefined) {
      this.#selection = undefined; // a mailbox still selected here does no harm: the next SELECT leaves it
      return 'entered';
    }
    this.#forget();
    const parameters = selection.condstore && !enabled.has('QRESYNC') ? ' (CONDSTORE)' : '';
    const { status, text } =
      typeof selection.name === 'string'
        ? await this.#command(`${selection.verb} ${selection.name}${parameters}`, signal)
        : await this.#command(`${selection.verb} {${selection.name.length}}`, signal, [selection.name, parameters]);
    if (status === 'BAD' || TEMPORARY.test(text)) throw refused(text, this.#now());
    if (status !== 'OK' || this.#uidValidity !== selection.uidValidity) return 'changed';
    this.#selection = selection;
    await this.number(signal);
    return 'entered';
  }

  /** Has the server say what happened since. @throws wire.*, or the signal's reason */
  async refresh(signal: AbortSignal): Promise<void> {
    await this.#command('NOOP', signal);
    await this.number(signal);
  }

  /** Asks for the UIDs that are not known. @throws wire.*, or the signal's reason */
  async number(signal: AbortSignal): Promise<void> {
    for (let turn = 0; turn < MAX_TURNS && !this.#view.complete && !this.#view.broken; turn++)
      await this.#command(`FETCH ${this.#view.firstUnknown}:* (UID)`, signal);
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
    await this.#command(`FETCH ${set} ${items}${modifier}`, signal, undefined, lines);
    return lines;
  }

  /** Ends our part: the socket and what was read from it but not taken. @throws wire.closed */
  detach(): { readonly socket: Socket; readonly rest: Buffer } {
    return this.#conn.detach();
  }

  /** Not needed after all. */
  leave(): void {
    this.#conn.end(`${this.#prefix}0 LOGOUT\r\n`);
  }

  #forget(): void {
    this.#view = new MessageView();
    this.#changed.clear();
    this.#flags = this.#permanentFlags = this.#uidValidity = this.#modSeq = undefined;
    this.#selection = undefined;
  }

  /** @param lines collects what is for the client */
  async #command(
    text: string,
    signal: AbortSignal,
    literal?: readonly [Buffer, string],
    lines?: string[],
  ): Promise<{ readonly status: 'OK' | 'NO' | 'BAD'; readonly text: string }> {
    const tag = `${this.#prefix}${++this.#tag}`;
    await this.#conn.write(`${tag} ${text}\r\n`);
    for (;;) {
      const line = await this.#line(signal);
      if (line.startsWith('+')) {
        if (literal === undefined) continue;
        await this.#conn.write(Buffer.concat([literal[0], Buffer.from(`${literal[1]}\r\n`)]));
      } else if (line.startsWith(`${tag} `)) {
        const found = /^\S+ (OK|NO|BAD)\b(?: \[(READ-ONLY)\])?/i.exec(line);
        if (!found) throw protocolError('wire.syntax', `the server answers ${JSON.stringify(line.slice(0, 100))}`);
        this.#readOnly = /^(?:SELECT|EXAMINE) /.test(text) ? found[2] !== undefined : this.#readOnly;
        return { status: found[1]!.toUpperCase() as 'OK' | 'NO' | 'BAD', text: line.slice(tag.length + 1) };
      } else if (/^\* BYE\b/i.test(line)) {
        throw protocolError('wire.closed', `the server ended the session: ${line.slice(2, 200)}`);
      } else this.#untagged(line, lines);
    }
  }

  #untagged(line: string, lines: string[] | undefined): void {
    const [, digits, word] = NUMBERED.exec(line) ?? [];
    if (digits !== undefined) {
      this.#numbered(Number(digits), word!.toUpperCase(), line, lines);
      return;
    }
    const [, vanished] = /^\* VANISHED ([\d:,]+)$/i.exec(line) ?? [];
    if (vanished !== undefined) {
      this.#view.vanished(vanished);
      this.#changed.clear(); // whoever gets VANISHED knows MODSEQs, and asks by them
      lines?.push(line);
    }
    const [, flags] = /^\* FLAGS (\(.*\))$/i.exec(line) ?? [];
    if (flags !== undefined) {
      this.#flags = flags;
      lines?.push(line);
    }
    const [, code, value] = /^\* OK \[(UIDVALIDITY|HIGHESTMODSEQ|PERMANENTFLAGS) ([^\]]*)\]/i.exec(line) ?? [];
    if (code?.toUpperCase() === 'UIDVALIDITY') this.#uidValidity = Number(value);
    else if (code?.toUpperCase() === 'HIGHESTMODSEQ') this.#modSeq = value;
    else if (code !== undefined) this.#permanentFlags = value;
    const [, names] = /^\* ENABLED(.*)$/i.exec(line) ?? [];
    for (const name of names?.split(' ') ?? []) if (name !== '') this.#enabled.add(name.toUpperCase());
  }

  #numbered(number: number, word: string, line: string, lines: string[] | undefined): void {
    const uid = /^\* \d+ FETCH \(UID (\d{1,10})\)$/i.exec(line)?.[1];
    if (word === 'EXISTS') this.#view.exists(number);
    else if (word === 'RECENT') this.#recent = number;
    else if (word === 'EXPUNGE') {
      this.#view.expunge(number);
      this.#changed = new Set(
        [...this.#changed].flatMap((each) => (each === number ? [] : [each > number ? each - 1 : each])),
      );
    } else if (uid !== undefined) {
      this.#view.learn(number, Number(uid));
      return;
    } else this.#changed.add(number);
    lines?.push(line);
  }

  /** One response; literals in it are read and left out. */
  async #line(signal: AbortSignal): Promise<string> {
    let text = '';
    for (;;) {
      const line = await this.#conn.line(LINE_OCTETS, signal);
      if (line === undefined) throw protocolError('wire.closed', 'the server closed the connection');
      text += line.toString('latin1');
      const literal = /^\* (?:OK|NO|BAD|BYE)\b/i.test(text) ? undefined : announcedLiteral(text);
      if (literal === undefined || !text.startsWith('* ')) return text;
      text = `${literal.text}""`;
      for await (const _ of this.#conn.stream(literal.octets, signal));
    }
  }
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
