/** An IMAP session kept by the gateway over memory: the sandbox's server behind it, a mail program that writes down what it is told before it. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { ManualClock } from './manual-clock.ts';
import { isError } from '../../src/base/error.ts';
import { nullLog } from '../../src/base/log.ts';
import { Secret } from '../../src/base/secret.ts';
import { Continuity } from '../../src/gateway/continuity/continuity.ts';
import type { Cause, KeeperOptions } from '../../src/gateway/continuity/session-keeper.ts';
import type { UpstreamConnection } from '../../src/upstream/upstream.ts';
import { relay } from '../../src/gateway/relay.ts';
import type { RelayEnd } from '../../src/gateway/relay-types.ts';
import { signIn } from '../../src/protocol/imap/client.ts';
import { Conn } from '../../src/protocol/wire/conn.ts';
import { FaultBoard } from '../../src/sandbox/faults/board.ts';
import { Ledger } from '../../src/sandbox/limits.ts';
import { serveImap } from '../../src/sandbox/mail/imap-session.ts';
import { Line } from '../../src/sandbox/mail/line.ts';
import type { MailSite } from '../../src/sandbox/mail/site.ts';
import { createMailStore, type Mailbox } from '../../src/sandbox/mail/store.ts';
import type { TokenCheck } from '../../src/sandbox/token.ts';
import { type MemorySocket, memoryPair } from './memory-socket.ts';

const ADDRESS = 'alice@contoso.test';
const HOUR = 3_600_000;
/** Time goes in steps, so that what it sets off can happen. */
const STEP_MS = 30_000;

/** Lets what is on its way arrive: each hop over memory takes a turn of the event loop. */
export async function settle(turns = 40): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Any server that speaks IMAP over a connection until its end. */
export type Serve = (conn: Line, site: MailSite) => Promise<void>;

export class KeptSession {
  /** The gateway's time and the tenant's; they differ when a test says so. */
  readonly clock = new ManualClock();
  readonly tenantClock = new ManualClock();
  readonly store = createMailStore({ clock: this.tenantClock });
  readonly mailbox: Mailbox = this.store.addMailbox(ADDRESS);
  readonly moves: Cause[] = [];
  readonly log: string[] = [];
  /** The `why` of lines that have one. */
  readonly whys: unknown[] = [];
  /** Thrown at the next sign-ins. */
  readonly refusals: Error[] = [];
  readonly site: MailSite;
  program!: Program;
  ended: RelayEnd | undefined;
  /** Everything the servers were sent, by session. */
  readonly heard: string[] = [];
  readonly #serve: Serve;
  #upstream: { near: MemorySocket; far: MemorySocket } | undefined;
  #cutAfter: number | undefined;
  #cutBefore: { readonly who: 'server' | 'client'; readonly text: string } | undefined;
  #silent: object | undefined;
  #instead: string | undefined;
  #stop: (() => void) | undefined;

  private constructor(serve: Serve) {
    this.#serve = serve;
    const tokens: TokenCheck = (token) => ({
      ok: true,
      identity: ADDRESS,
      application: 'app',
      appOnly: false,
      scopes: ['IMAP.AccessAsUser.All'],
      roles: [],
      audience: '',
      expiresAt: Number(token),
    });
    this.site = {
      tokens,
      mail: this.store,
      faults: new FaultBoard(),
      ledger: new Ledger(this.tenantClock),
      clock: this.tenantClock,
      log: nullLog,
      hostname: 'outlook.contoso.test',
    };
  }

  /** @param more of what the keeper is given @param door of a mail program, in place of `program` */
  static async start(serve: Serve = serveImap, more: Partial<KeeperOptions> = {}, door?: Socket): Promise<KeptSession> {
    const session = new KeptSession(serve);
    const connection = await session.#open();
    const continuity = new Continuity({
      clock: session.clock,
      log: {
        ...nullLog,
        info: ({ why }) => void (why === undefined || session.whys.push(why)),
        warn: (_, message) => void session.log.push(message),
        error: (fields, message) => void session.log.push(`${message}: ${JSON.stringify(fields)}`),
      },
      signedIn: connection,
      hostname: 'gate.example',
      shortLifeMs: 0,
      signIn: () => session.#open(),
      onMoved: (cause) => void session.moves.push(cause),
      ...more,
    });
    const [near, far] = memoryPair();
    session.program = new Program(new Conn(far));
    relay({ socket: door ?? near, rest: Buffer.alloc(0) }, connection.conn.detach(), {
      idleMs: 100 * HOUR,
      clock: session.clock,
      tap: continuity,
      onEnd: (end) => {
        session.ended = end;
        continuity.close();
      },
    });
    session.#stop = () => {
      far.destroy();
      near.destroy();
      door?.destroy();
      session.cut();
      continuity.close();
    };
    return session;
  }

  /** The connection to the server breaks. */
  cut(): void {
    this.#upstream?.near.destroy();
    this.#upstream?.far.destroy();
  }

  /** Nothing passes between server and gateway any more, and neither is told. */
  silence(): void {
    this.#silent = this.#upstream;
  }

  /** The server says this, whatever it means. */
  say(text: string): void {
    this.#upstream?.near.feed(Buffer.from(text, 'latin1'));
  }

  /** It says this instead of what it would say next. */
  saysNext(text: string): void {
    this.#instead = text;
  }

  /** It breaks after so many octets of what the server says next. */
  cutAfter(octets: number): void {
    this.#cutAfter = octets;
  }

  /** It breaks, once, before one of them says this. */
  cutBefore(who: 'server' | 'client', text: string): void {
    this.#cutBefore = { who, text };
  }

  /** @returns the octets that still pass, when it breaks now */
  #cutIn(who: 'server' | 'client', bytes: Buffer): number | undefined {
    const cut = this.#cutBefore;
    const at = cut?.who === who ? bytes.indexOf(cut.text) : -1;
    if (at === -1) return undefined;
    this.#cutBefore = undefined;
    return at;
  }

  /** Time passes for everybody. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= STEP_MS) {
      const step = Math.min(left, STEP_MS);
      await Promise.all([this.clock.advance(step), this.tenantClock.advance(step)]);
      await settle();
    }
  }

  close(): void {
    this.#stop?.();
  }

  async #open(): Promise<UpstreamConnection> {
    const refusal = this.refusals.shift();
    if (refusal) throw refusal;
    const [near, far] = memoryPair();
    const pair = { near, far };
    this.#upstream = pair;
    far.on('error', () => undefined);
    near.on('error', () => undefined);
    const feed = far.onWritten;
    let dead = false;
    far.onWritten = (bytes) => {
      if (dead || this.#silent === pair) return undefined;
      if (this.#instead !== undefined) {
        const instead = Buffer.from(this.#instead, 'latin1');
        this.#instead = undefined;
        return feed(instead);
      }
      this.#cutAfter ??= this.#cutIn('server', bytes);
      if (this.#cutAfter === undefined) return feed(bytes);
      const some = bytes.subarray(0, this.#cutAfter);
      this.#cutAfter -= some.length;
      if (some.length > 0) feed(Buffer.from(some));
      if (this.#cutAfter > 0) return undefined;
      this.#cutAfter = undefined;
      dead = true;
      setImmediate(() => setImmediate(() => (near.destroy(), far.destroy())));
      return undefined;
    };
    const session = this.heard.push('') - 1;
    const hear = near.onWritten;
    near.onWritten = (bytes) => {
      const at = this.#cutIn('client', bytes);
      const heard = at === undefined ? bytes : bytes.subarray(0, at);
      this.heard[session] += heard.toString('latin1');
      if (this.#silent !== pair) hear(heard);
      if (at !== undefined) setImmediate(() => (near.destroy(), far.destroy()));
    };
    const visitor = { socket: far, raw: far, secure: () => Promise.reject(new Error('no TLS here')) };
    const line = new Line(visitor, this.site.faults, this.tenantClock, {});
    this.#serve(line, this.site)
      .catch((error: unknown) => {
        if (!isError(error, 'wire.closed')) this.log.push(`server: ${String(error)}`);
      })
      .finally(() => line.end());
    const expiresAt = this.clock.now() + HOUR;
    const conn = new Conn(near);
    const token = new Secret(String(this.tenantClock.now() + HOUR));
    const signedIn = await signIn(conn, {
      tls: 'implicit',
      user: ADDRESS,
      token,
      host: 'outlook.contoso.test',
      port: 993,
      mechanisms: ['XOAUTH2'],
    });
    return {
      conn,
      expiresAt,
      mechanism: signedIn.mechanism,
      capabilities: signedIn.capabilities,
      reused: false,
      endpoint: {
        protocol: 'imap',
        host: 'outlook.contoso.test',
        port: 993,
        tls: 'implicit',
        user: ADDRESS,
        mechanisms: ['XOAUTH2'],
        trust: {},
      },
    };
  }
}

/** The gateway or the server said BYE, or closed. */
export class SessionOver extends Error {}

export interface Known {
  uid?: number;
  /** Sorted, without `\Recent`. */
  flags?: string;
}

/** A mail program that believes what it is told, and objects to what it must not be told (RFC 9051 §7.5.1). */
export class Program {
  readonly #conn: Conn;
  #tag = 0;
  /** The commands under way, by tag. */
  readonly #under = new Map<string, string>();
  /** By sequence number minus one. */
  messages: Known[] = [];
  /** Untagged lines since the last command was sent. */
  lines: string[] = [];
  #selecting = false;
  /** UIDs that were expunged, which never come again (RFC 9051 §2.3.1.1). */
  readonly #gone = new Set<number>();

  constructor(conn: Conn) {
    this.#conn = conn;
  }

  /** Sends a command and gives its tag. */
  async send(command: string): Promise<string> {
    const tag = `a${++this.#tag}`;
    this.#under.set(tag, command.toUpperCase());
    this.lines = [];
    await this.#conn.write(`${tag} ${command}\r\n`);
    return tag;
  }

  async raw(text: string): Promise<void> {
    await this.#conn.write(Buffer.from(text, 'latin1'));
  }

  /** Sends a command and reads until its answer; the status and the rest. @throws SessionOver */
  async ask(command: string, more?: string): Promise<string> {
    this.#selecting = /^(?:SELECT|EXAMINE) /i.test(command);
    const tag = await this.send(command);
    return this.answer(tag, more);
  }

  /** @param more what follows a continuation request */
  async answer(tag: string, more?: string): Promise<string> {
    for (;;) {
      const text = await this.#response();
      if (text.startsWith('+')) {
        if (more !== undefined) await this.raw(more);
      } else if (text.startsWith(`${tag} `)) {
        this.#under.delete(tag);
        const answer = text.slice(tag.length + 1);
        if (this.#selecting) this.#enter(answer.startsWith('OK'));
        return answer;
      } else if (!text.startsWith('* ')) {
        const other = /^(\S+) (?:OK|NO|BAD)/.exec(text)?.[1];
        assert.ok(other !== undefined && this.#under.delete(other), `an answer to nothing: ${text}`);
      }
    }
  }

  /** Opens an IDLE; gives its tag once the server has taken it, or the answer. */
  async idle(): Promise<{ readonly tag: string } | { readonly answer: string }> {
    const tag = await this.send('IDLE');
    for (;;) {
      const text = await this.#response();
      if (text.startsWith('+')) return { tag };
      if (text.startsWith(`${tag} `)) {
        this.#under.delete(tag);
        return { answer: text.slice(tag.length + 1) };
      }
    }
  }

  async done(tag: string): Promise<string> {
    await this.raw('DONE\r\n');
    return this.answer(tag);
  }

  /** What came before the new mailbox's number of messages was about the old one. */
  #enter(selected: boolean): void {
    this.#selecting = false;
    this.messages = [];
    this.#gone.clear();
    if (!selected) return;
    const from = this.lines.findLastIndex((line) => line.endsWith(' EXISTS'));
    for (const line of this.lines.slice(from).filter((each) => / (?:EXISTS|EXPUNGE|FETCH)\b/.test(each)))
      this.#view(line);
  }

  async #response(): Promise<string> {
    let text = '';
    for (;;) {
      const line = await this.#conn.line(1 << 20).catch((error: unknown) => {
        throw new SessionOver(String(error));
      });
      if (line === undefined) throw new SessionOver('closed');
      text += line.toString('latin1');
      const literal = /^\* \d+ FETCH .*\{(\d+)\}$/s.exec(text)?.[1];
      if (literal === undefined) break;
      text += `\r\n${(
        await this.#conn.counted(Number(literal)).catch((error: unknown) => {
          throw new SessionOver(String(error));
        })
      ).toString('latin1')}`;
    }
    if (text.startsWith('* ')) this.#untagged(text);
    return text;
  }

  #untagged(text: string): void {
    this.lines.push(text);
    if (/^\* BYE/i.test(text)) throw new SessionOver(text);
    if (!this.#selecting) this.#view(text);
  }

  #view(text: string): void {
    const [, digits, word, rest = ''] = /^\* (\d+) (EXISTS|EXPUNGE|FETCH)(.*)$/is.exec(text) ?? [];
    if (digits === undefined) return;
    const number = Number(digits);
    if (word === 'EXISTS') {
      assert.ok(number >= this.messages.length, `${text} after ${this.messages.length}`);
      while (this.messages.length < number) this.messages.push({});
      return;
    }
    assert.ok(number >= 1 && number <= this.messages.length, `${text} of ${this.messages.length}`);
    if (word === 'EXPUNGE') {
      assert.ok(this.#under.size > 0, `${text} while no command is in progress`);
      for (const command of this.#under.values())
        assert.doesNotMatch(command, /^(?:FETCH|STORE|SEARCH)/, `${text} during ${command}`);
      const [gone] = this.messages.splice(number - 1, 1);
      if (gone?.uid !== undefined) this.#gone.add(gone.uid);
      return;
    }
    const known = this.messages[number - 1]!;
    const uid = /\bUID (\d+)/.exec(rest)?.[1];
    const flags = /\bFLAGS \(([^)]*)\)/.exec(rest)?.[1];
    if (uid !== undefined) {
      assert.ok(known.uid === undefined || known.uid === Number(uid), `${text}, it was UID ${known.uid}`);
      known.uid = Number(uid);
      assert.ok(!this.#gone.has(known.uid), `${text}, which was expunged`);
    }
    if (flags !== undefined) known.flags = sorted(flags.split(' '));
  }
}

export function sorted(flags: Iterable<string>): string {
  return [...flags]
    .filter((flag) => flag !== '' && flag !== '\\Recent')
    .sort()
    .join(' ');
}
