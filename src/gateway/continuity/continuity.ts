/**
 * An IMAP session that outlives its server's: before the access token ends, and when the server goes away unasked, another
 * session at the provider takes its place, and the client is told what changed as if it had been one (docs/sessions.md).
 */
import { backoffMs } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { asError, type PosternError } from '../../base/error.ts';
import { oneLine } from '../../protocol/sign-in.ts';
import { sessionOf, type UpstreamConnection, type UpstreamSession } from '../../upstream/upstream.ts';
import type { RunningRelay } from '../relay-types.ts';
import type { Changes } from './changes.ts';
import { type HandedOver, handOver } from './hand-over.ts';
import { Hopeless, hopelessReason, Moments, Stop } from './moments.ts';
import type { KeeperOptions, SessionKeeper } from './session-keeper.ts';
import { copiesJudged } from './sent-copy.ts';
import { Silence } from './silence.ts';
import { Successor } from './successor.ts';
import { ImapTap } from './tap.ts';
import { Upkeep } from './upkeep.ts';
import { CLOSED, farewell, LOST, tellOfEnd } from './words.ts';

/** Earliest start before the token ends. Longer than most commands take, so that a quiet moment comes in time. */
const LEAD_MS = 4 * 60_000;
/** A client waits this long for a provider that went away. */
const PATIENCE_MS = 120_000;
const SHORT_LIFE_MS = 10_000;
const MAX_SHORT_LIVES = 5;
/** Of our tags; no client is known to use it. */
const TAG = 'pstn-';

export class Continuity implements SessionKeeper {
  readonly #options: KeeperOptions;
  readonly #wall: Clock;
  readonly #tap: ImapTap;
  readonly #upkeep: Upkeep;
  readonly #stop = new Stop();
  #relay!: RunningRelay;
  #signedIn: UpstreamSession;
  #since: number;
  #shortLives = 0;
  #goneAt: number | undefined;
  /** The last word of a server that does not answer. */
  #silentSince: number | undefined;
  #working = false;
  /** The client speaks just now; what it said while it was held comes at moments at which the server cannot be let go of. */
  #hearing = false;
  /** The LOGOUT that the server does not hear of. */
  #left: { readonly tag: string; readonly selected: boolean; readonly unused: boolean } | undefined;
  /** What came up while something else was under way. */
  #next: (() => Promise<void>) | undefined;
  #gaveUp = false;
  #planned: Timer | undefined;
  readonly #moments: Moments;
  #paused = false;
  readonly #silence: Silence;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#signedIn = options.signedIn;
    this.#wall = options.wall ?? options.clock;
    this.#since = this.#wall.now();
    this.#tap = new ImapTap(
      {
        toClient: (text) => this.#relay.toClient(text),
        toServer: (bytes) => this.#relay.toServer(bytes),
        changed: () => this.#changed(),
        flows: () => this.#resumeClient(),
        fault: options.fault,
        asked: () => this.#silence.begin(),
        leaves: (tag, selected, unused) => this.#leaves(tag, selected, unused),
        end: (text) => this.#end(text),
        ...copiesJudged(options, this.#wall, this.#stop, () => this.#tap),
      },
      TAG,
    );
    this.#moments = new Moments(this.#wall, this.#stop);
    this.#silence = new Silence(this.#wall, {
      waiting: () => !this.#relay.clientStuck && (this.#tap.awaits || this.#relay.serverStuck),
      slow: () => this.#tap.slow && !this.#relay.serverStuck,
      octets: () => this.#relay.octets,
      silent: (since) => this.#serverSilent(since),
    });
    this.#upkeep = new Upkeep(options.clock, this.#tap, (task) => this.#work(task));
    this.#plan();
  }

  attach(relay: RunningRelay): void {
    this.#relay = relay;
  }

  close(): void {
    this.#stop.stop();
    this.#planned?.cancel();
    this.#upkeep.close();
    this.#silence.close();
  }

  goodbye(text: string | undefined): string | undefined {
    return this.#tap.speakable ? text : undefined;
  }

  fromClient(bytes: Buffer): Buffer {
    this.#hearing = true;
    const out = this.#tap.fromClient(bytes);
    this.#hearing = false;
    this.#return();
    if (this.#goneAt !== undefined && this.#tap.pending > 0) {
      const { logoutTag } = this.#tap;
      if (logoutTag !== undefined) this.#end(farewell(logoutTag));
      else this.#work(this.#succeed);
    }
    if (this.#tap.full) this.#relay.pauseClient((this.#paused = true));
    return out;
  }

  fromServer(bytes: Buffer): Buffer {
    return this.#tap.fromServer(bytes);
  }

  passed(): void {
    this.#tap.passed();
    this.#resumeClient();
  }

  get held(): number {
    return this.#tap.held;
  }

  get owing(): boolean {
    return this.#tap.owing;
  }

  get serverEnding(): boolean {
    return this.#tap.farewell !== undefined;
  }

  get rest(): 'waiting' | 'between' | 'none' {
    return this.#tap.rest;
  }

  get mayBeSilent(): boolean {
    return this.#tap.idling;
  }

  serverGone(): 'end' | 'replace' {
    const { log, shortLifeMs } = this.#options;
    const { leaving, movable, farewell, strange } = this.#tap;
    if (leaving) return 'end';
    const now = this.#wall.now();
    this.#shortLives = now - this.#since < (shortLifeMs ?? SHORT_LIFE_MS) ? this.#shortLives + 1 : 0;
    const fate = movable ? this.#tap.serverGone() : 'over';
    if (fate === 'unsure') {
      tellOfEnd(log, { farewell, strange, idling: false });
      this.#end(LOST);
      return 'end';
    }
    if (fate === 'over') {
      if (farewell !== undefined || !movable) this.#tap.tell(`${farewell ?? CLOSED}\r\n`);
      return 'end';
    }
    this.#goneAt = this.#silentSince ?? now;
    tellOfEnd(log, { farewell, strange, idling: this.#tap.idling });
    this.#planned?.cancel();
    if (this.#wanted) this.#work(this.#succeed);
    this.#moments.happened();
    return 'replace';
  }

  /** Without a server: whether the client waits for one. */
  get #wanted(): boolean {
    return this.#tap.idling || this.#tap.busy || this.#tap.pending > 0;
  }

  #work(task: () => Promise<void>): void {
    if (this.#stop.stopped) return;
    if (this.#working) return void (this.#next = task); // one thing at a time
    this.#working = true;
    void task
      .call(this)
      .catch((error: unknown) => this.#failed(asError(error)))
      .finally(() => {
        this.#working = false;
        const next = this.#goneAt !== undefined && this.#wanted ? this.#succeed : this.#next;
        this.#next = undefined;
        if (next !== undefined) this.#work(next);
      })
      .catch(this.#options.fault);
  }

  #failed(error: PosternError): void {
    if (this.#stop.stopped) return;
    this.#options.log.error({ code: error.code, error: String(error.cause) }, 'a session could not be kept');
    this.#end('* BYE [SERVERBUG] this session could not be continued; connect again\r\n');
  }

  /** Sign-ins at the provider and hand-overs, until one succeeds or it is hopeless. */
  async #succeed(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stop;
    const started = this.#wall.now();
    for (let attempt = 0; !signal.aborted; attempt++) {
      let successor: Successor | undefined;
      try {
        const connection = await this.#open();
        if (connection === 'not-renewed') {
          this.#plan();
          return;
        }
        successor = new Successor(connection.conn, TAG, () => clock.now());
        const until = connection.expiresAt - leadOf(connection.expiresAt - clock.now());
        const cause = await handOver(this.#handedOver(signal), successor, until);
        if (cause === 'postponed') {
          successor.leave();
          this.#plan();
          return;
        }
        this.#options.onMoved(cause, connection, this.#wall.now() - (this.#goneAt ?? started));
        this.#settled(connection);
        return;
      } catch (error) {
        successor?.leave();
        if (signal.aborted) return;
        if (this.#isHopeless(error)) return;
        const { code, message, retryAt } = asError(error);
        const wait = Math.max(
          backoffMs(attempt, { baseMs: 1000, maxMs: 30_000 }),
          (retryAt?.getTime() ?? 0) - clock.now(),
        );
        log.warn({ code, attempt }, `the session could not be moved: ${message}`);
        if (this.#goneAt !== undefined && this.#wall.now() + wait - this.#waitsSince(started) > PATIENCE_MS) {
          this.#end(this.#tap.farewell ?? `* BYE [UNAVAILABLE] ${oneLine(message)}\r\n`);
          return;
        }
        await this.#wall.sleep(wait, signal).catch(() => undefined); // stopped: the loop ends
      }
    }
  }

  async #open(): Promise<UpstreamConnection | 'not-renewed'> {
    if (this.#shortLives >= MAX_SHORT_LIVES) throw new Hopeless('the provider ends every session after a moment');
    return this.#options.signIn(this.#goneAt === undefined ? this.#signedIn.expiresAt : undefined, this.#stop.signal);
  }

  /** What will not get better: the server that is still there is kept to its end, without one the client is sent away. */
  #isHopeless(error: unknown): boolean {
    const reason = hopelessReason(error);
    if (reason === undefined) return false;
    this.#options.log.warn({ gone: this.#goneAt !== undefined }, `the session cannot be continued: ${reason}`);
    if (this.#goneAt !== undefined) this.#end(`* BYE ${oneLine(reason)}\r\n`);
    else this.#gaveUp = true;
    return true;
  }

  #handedOver(signal: AbortSignal): HandedOver {
    return {
      clock: this.#options.clock,
      signal,
      tap: this.#tap,
      moments: this.#moments,
      expiresAt: this.#signedIn.expiresAt,
      gone: () => this.#goneAt !== undefined,
      replace: (successor, changes) => this.#replace(successor, changes),
      released: () => this.#resumeClient(),
    };
  }

  async #replace(successor: Successor, { lines, expunging }: Changes): Promise<void> {
    const tap = this.#tap;
    const gone = this.#goneAt !== undefined;
    const { socket, rest } = successor.detach();
    this.#goneAt = undefined;
    this.#relay.replaceServer({ socket, rest: Buffer.alloc(0) }, gone ? undefined : `${TAG}0 LOGOUT\r\n`);
    const idling = tap.idling;
    tap.follow(successor.selection, lines, expunging);
    this.#relay.heard(rest);
    if (idling) await tap.resumeIdle();
    if (gone) tap.release();
  }

  #settled(connection: UpstreamConnection): void {
    this.#signedIn = sessionOf(connection);
    this.#since = this.#wall.now();
    this.#gaveUp = false;
    this.#silentSince = undefined;
    this.#plan();
    this.#changed();
  }

  #leaves(tag: string, selected: boolean, unused: boolean): boolean {
    const { wantsBack } = this.#options;
    if (!this.#hearing || this.#working || wantsBack?.(this.#signedIn, selected) !== true) return false;
    this.#left = { tag, selected, unused };
    return true;
  }

  /** After a LOGOUT: the client gets its answer, the server's session goes on for another. */
  #return(): void {
    if (this.#left === undefined) return;
    const { tag, selected, unused } = this.#left;
    const socket = this.#relay.releaseServer(farewell(tag));
    this.#options.onReturned?.({ ...this.#signedIn, socket, selected, unused });
  }

  /** Since when the client has waited for a server. */
  #waitsSince(started: number): number {
    return this.#silentSince ?? Math.max(started, this.#goneAt!);
  }

  #resumeClient(): void {
    if (!this.#paused || this.#tap.full) return;
    this.#relay.pauseClient((this.#paused = false));
  }

  /** The server owes an answer and has not said a word since: it is taken for gone. */
  #serverSilent(since: number): void {
    this.#options.log.warn({ since: new Date(since).toISOString() }, 'the provider does not answer any more');
    this.#silentSince = since;
    this.#relay.loseServer();
  }

  /** The next hand-over: spread, because many sessions share a token. */
  #plan(): void {
    const { clock } = this.#options;
    this.#planned?.cancel();
    if (this.#gaveUp || this.#stop.stopped || this.#goneAt !== undefined) return;
    const left = Math.max(0, this.#signedIn.expiresAt - clock.now());
    const lead = Math.round(leadOf(left) * (1 - Math.random() / 2));
    // At the token's end, or when it is not renewed, now and then is enough: the server may not mind.
    this.#planned = clock.after(left < SHORT_LIFE_MS ? Math.max(Math.round(left / 2), 1000) : left - lead, () =>
      this.#work(this.#succeed),
    );
  }

  #changed(): void {
    this.#upkeep.changed();
    this.#moments.happened();
  }

  #end(text: string): void {
    const said = this.goodbye(text.endsWith('\r\n') ? text : `${text}\r\n`);
    this.#relay.cut(said, 'server-closed');
  }
}

/** So long before the end of a token that lives so long from now another is asked for. */
function leadOf(left: number): number {
  return Math.min(LEAD_MS, left / 4);
}
