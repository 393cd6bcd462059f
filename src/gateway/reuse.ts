/**
 * IMAP sessions at the provider that their program has left with LOGOUT, kept signed in for a moment: the next program of the
 * same mailbox goes on in one of them, without connection, handshake and sign-in (docs/sessions.md).
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import type { MailEndpoint } from '../oauth/types.ts';
import { protocolError } from '../protocol/errors.ts';
import type { Response } from '../protocol/imap/response.ts';
import { ImapSession, SESSION_LIMITS, type SessionLimits } from '../protocol/imap/session.ts';
import { Conn } from '../protocol/wire/conn.ts';
import { isCatchAll } from '../store/table/mailboxes.ts';
import { upstreamError } from '../upstream/errors.ts';
import type { UpstreamConnection, UpstreamSession } from '../upstream/upstream.ts';

export interface ReuseOptions {
  readonly clock: Clock;
  /** The time of connections. */
  readonly wall: Clock;
  readonly log: Log;
  /** Milliseconds a session is kept; 0: none is. */
  readonly keepMs: number;
  /** Sessions kept at the most; 200 unless there is room for fewer. */
  readonly most?: number;
}

/** A session that has been given back. */
export interface Returned extends UpstreamSession {
  /** Without listeners. */
  readonly socket: Socket;
  /** A mailbox is selected in it. */
  readonly selected: boolean;
  /** Its program gave no command but LOGOUT. */
  readonly unused: boolean;
}

interface Resting {
  readonly connection: UpstreamConnection;
  readonly since: number;
  /** Aborted when it is taken. */
  readonly taken: AbortController;
  readonly timer: Timer;
}

/** Providers count sessions per mailbox (Exchange some 20, Dovecot 10 from one address), and people have programs besides ours. */
const MAX_OF_A_MAILBOX = 8;
/** Of this process: 70 KiB each. */
const MOST = 200;
/** One that rested longer is asked whether it still lives before a program depends on it. */
const SURELY_ALIVE_MS = 2_000;
/** A server that does not answer sooner is taken for gone; a fresh sign-in takes about as long. */
const ANSWER_MS = 3_000;
/** A token that ends sooner takes the session with it. */
const LEAST_LEFT_MS = 60_000;
const HARMLESS: ReadonlySet<Response['type']> = new Set(['message-count', 'expunge', 'fetch', 'flags']);
const LINE_OCTETS = 64 * 1024;
const LIMITS: SessionLimits = { ...SESSION_LIMITS, line: LINE_OCTETS, literal: 0, responses: 1_000 };
/** Begins our tags here; no client is known to use it. */
const TAG = 'pstn-r';
const LOGOUT = `${TAG} LOGOUT\r\n`;
/** Of a tag's end, in octets: an answer to it that was not caused by our command would have to be guessed. */
const UNGUESSABLE = 9;
/** One for all: an error with its stack costs more than the rest of what it takes to rest. */
const TAKEN = upstreamError('gateway.provider-unreachable', 'the session is not kept any longer');

export class ReusableSessions {
  readonly #options: ReuseOptions;
  /** By mailbox; the longest resting first. */
  readonly #resting = new Map<string, Resting[]>();
  /** Sessions on their way back, and whether their mailbox was closed meanwhile. */
  readonly #returning = new Set<{ readonly address: string; closed: boolean }>();
  readonly #closing = new AbortController();
  /** Sessions that rest now. */
  size = 0;

  constructor(options: ReuseOptions) {
    this.#options = options;
  }

  /** Whether such a session can be brought back to where it was after sign-in (RFC 3691 UNSELECT) and is worth keeping. */
  wants({ capabilities, expiresAt }: UpstreamSession, selected: boolean): boolean {
    const { clock, keepMs } = this.#options;
    if (keepMs === 0 || this.#closing.signal.aborted || expiresAt - clock.now() < LEAST_LEFT_MS) return false;
    return !selected || capabilities.some((name) => name.toUpperCase() === 'UNSELECT');
  }

  /** Takes a session back in which nothing is under way. Never rejects; one that cannot be kept is ended. */
  async give(address: string, { socket, selected, unused, ...signedIn }: Returned): Promise<void> {
    const conn = new Conn(socket, { clock: this.#options.wall });
    const returning = { address, closed: false };
    this.#returning.add(returning);
    try {
      // Its answer proves that the server is between two commands, whatever it made of those before.
      if (selected || !unused) await this.#ask(conn, selected ? 'UNSELECT' : 'NOOP', this.#closing.signal);
      if (returning.closed) throw upstreamError('gateway.provider-unreachable', 'the mailbox was closed');
      this.#keep(address, { ...signedIn, conn, reused: true });
    } catch (error) {
      this.#options.log.debug({ mailbox: address, code: asError(error).code }, 'a session could not be kept for reuse');
      conn.end(LOGOUT);
    } finally {
      this.#returning.delete(returning);
    }
  }

  /**
   * A session of this mailbox, signed in at this endpoint with the token that would be used now, known by its end.
   * @throws the signal's reason
   */
  async take(
    address: string,
    endpoint: MailEndpoint,
    expiresAt: number,
    signal: AbortSignal,
  ): Promise<UpstreamConnection | 'none'> {
    for (;;) {
      const resting = this.#resting.get(address)?.at(-1);
      if (resting === undefined) return 'none';
      const { connection, since } = resting;
      const { conn } = connection;
      this.#remove(address, resting);
      if (conn.closed || !conn.drained) conn.end();
      else if (connection.expiresAt !== expiresAt || !sameWay(connection.endpoint, endpoint)) conn.end(LOGOUT);
      else if (this.#options.wall.now() - since < SURELY_ALIVE_MS) return connection;
      else {
        try {
          await this.#ask(conn, 'NOOP', signal);
          return connection;
        } catch (error) {
          conn.destroy();
          if (signal.aborted) throw error;
        }
      }
    }
  }

  /** The mailboxes were closed: their sessions end. */
  drop(addresses: readonly string[]): void {
    for (const returning of this.#returning)
      returning.closed ||= addresses.some((address) => covers(address, returning.address));
    for (const address of [...this.#resting.keys()].filter((one) => addresses.some((name) => covers(name, one))))
      for (const resting of this.#resting.get(address) ?? []) this.#dismiss(address, resting);
  }

  /** Ends all, and keeps none from now on. */
  close(): void {
    this.#closing.abort(upstreamError('gateway.provider-unreachable', 'the gateway is shutting down'));
    this.drop([...this.#resting.keys()]);
  }

  #keep(address: string, connection: UpstreamConnection): void {
    const { wall, keepMs } = this.#options;
    this.#closing.signal.throwIfAborted();
    if (connection.conn.closed || !connection.conn.drained)
      throw protocolError('wire.closed', 'the server ended the session, or speaks unasked');
    const first = this.#resting.get(address)?.at(-MAX_OF_A_MAILBOX);
    if (first !== undefined) this.#dismiss(address, first);
    else if (this.size >= Math.min(MOST, this.#options.most ?? MOST)) {
      const [longest, [its]] = this.#resting.entries().next().value!;
      this.#dismiss(longest, its!);
    }
    const resting: Resting = {
      connection,
      since: wall.now(),
      taken: new AbortController(),
      timer: wall.after(keepMs, () => this.#dismiss(address, resting)),
    };
    // A mailbox that comes last in the map is the one used last, so that the first is the one to do without.
    const others = this.#resting.get(address) ?? [];
    this.#resting.delete(address);
    this.#resting.set(address, [...others, resting]);
    this.size += 1;
    void this.#watch(address, resting);
  }

  /** Whatever a server says to nobody, it means to end the session, or the session is not what we take it for. */
  async #watch(address: string, resting: Resting): Promise<void> {
    try {
      await resting.connection.conn.line(LINE_OCTETS, resting.taken.signal);
    } catch {
      // Gone, or taken.
    }
    if (!resting.taken.signal.aborted) this.#dismiss(address, resting);
  }

  #dismiss(address: string, resting: Resting): void {
    this.#remove(address, resting);
    resting.connection.conn.end(LOGOUT);
  }

  #remove(address: string, resting: Resting): void {
    resting.timer.cancel();
    resting.taken.abort(TAKEN);
    const others = (this.#resting.get(address) ?? []).filter((one) => one !== resting);
    if (others.length === 0) this.#resting.delete(address);
    else this.#resting.set(address, others);
    this.size -= 1;
  }

  /** A command of ours, answered with OK. @throws wire.*, or the signal's reason */
  async #ask(conn: Conn, command: 'NOOP' | 'UNSELECT', signal: AbortSignal): Promise<void> {
    conn.setIdle(ANSWER_MS);
    try {
      signal.throwIfAborted();
      const prefix = `${TAG}${randomBytes(UNGUESSABLE).toString('hex')}`;
      const session = new ImapSession(conn, { host: 'the server', prefix, limits: LIMITS });
      const { status } = await session.run(command, { signal, literal: notExpected, untagged: expectHarmless });
      if (status !== 'OK') notExpected();
    } finally {
      conn.setIdle(0);
    }
  }
}

/** What a server may have to say of a mailbox before it answers; anything else is an answer to something we know nothing of. */
function expectHarmless(response: Response): void {
  if (!HARMLESS.has(response.type) && !(response.type === 'status' && response.status === 'OK')) notExpected();
}

/** Literals too come with no answer to these commands. */
function notExpected(): never {
  throw protocolError('wire.syntax', 'not the answer expected');
}

function sameWay(one: MailEndpoint, other: MailEndpoint): boolean {
  return (
    one.host === other.host &&
    one.port === other.port &&
    one.tls === other.tls &&
    one.user === other.user &&
    one.trust.ca === other.trust.ca &&
    String(one.trust.fingerprints) === String(other.trust.fingerprints)
  );
}

/** `*@domain` stands for every address of the domain; one with a mailbox of its own only loses a session that rests. */
function covers(name: string, address: string): boolean {
  return name === address || (isCatchAll(name) && address.endsWith(name.slice(1)));
}
