/** One connection of a mail program: sign-in here, sign-in at the provider, then bytes both ways until somebody ends it. */
import { foldCase } from '../base/case.ts';
import type { Socket } from 'node:net';
import { guardedClock } from '../base/guard.ts';
import { asError, type PosternError } from '../base/error.ts';
import * as imap from '../protocol/imap/server.ts';
import * as pop3 from '../protocol/pop3/server.ts';
import type { Credentials } from '../protocol/sasl/mechanism.ts';
import type { Verdict } from '../protocol/sign-in.ts';
import * as smtp from '../protocol/smtp/server.ts';
import type { Account } from '../protocol/wire/budget.ts';
import { Conn } from '../protocol/wire/conn.ts';
import { newId } from '../store/id.ts';
import type { Mailbox } from '../store/types.ts';
import type { AppPassword } from '../store/types-access.ts';
import type { Protocol } from '../store/protocols.ts';
import type { SignInResult } from '../access/types.ts';
import { type Place, plainAddress } from './admission.ts';
import { imapAfterSignIn } from './capabilities.ts';
import type { SessionKeeper } from './continuity/session-keeper.ts';
import { gatewayError } from './errors.ts';
import { upstreamError } from '../upstream/errors.ts';
import { extensionsBefore } from './extensions-before.ts';
import { mailboxClosed } from '../upstream/explain.ts';
import type { UpstreamConnection } from '../upstream/upstream.ts';
import { type Ending, goodbye, lastWords } from './goodbye.ts';
import { handshake } from './handshake.ts';
import { keeping } from './keeping.ts';
import { relay } from './relay.ts';
import type { RelayEnd, RunningRelay } from './relay-types.ts';
import { type RunningSubmission, submit } from './submission.ts';
import { SessionRecord } from './session-record.ts';
import { beginSigningIn, type InTheWay, type SigningIn } from './signing-in.ts';
import type { Surroundings } from './surroundings.ts';
import type { ListenerConfig } from './types.ts';
import { asAddress, barredBy, codeOf, isAway, outcomeOf, outward, refusedHere, slowed } from './verdict.ts';
import { waitForProvider } from './waiting.ts';

/** A program that is slowed down is not kept waiting longer than it would wait itself. */
const SLOWEST_MS = 30_000;

const servers = { imap, pop3, smtp };

export class Session {
  readonly id = newId('ses');
  readonly #around: Surroundings;
  readonly #protocol: Protocol;
  readonly #listener: ListenerConfig;
  readonly #remoteAddress: string;
  readonly #place: Place;
  readonly #account: Account;
  readonly #record: SessionRecord;
  #signingIn: SigningIn | undefined;
  #relay: RunningRelay | RunningSubmission | undefined;
  #keeper: SessionKeeper | undefined;
  #mailbox: Mailbox | undefined;
  #dropsCopies = false;
  #since = 0;

  constructor(around: Surroundings, listener: ListenerConfig, plain: Socket, place: Place) {
    this.#around = around;
    this.#listener = listener;
    this.#protocol = listener.protocol;
    this.#remoteAddress = plainAddress(plain.remoteAddress);
    this.#place = place;
    this.#record = new SessionRecord(around.deps, this.id, listener.protocol, this.#remoteAddress);
    this.#account = around.budget.account(this.#remoteAddress);
    this.#signingIn = beginSigningIn(plain, around.limits.signInMs);
  }

  get relaying(): boolean {
    return this.#relay !== undefined;
  }

  rests(): boolean {
    return this.#relay?.rests() === true;
  }

  /** Whether it came in with one of these app passwords, or to one of these mailboxes. */
  uses(names: ReadonlySet<string | undefined>): boolean {
    const mailbox = this.#mailbox;
    // One that a catch-all mailbox opened ends with that: its own address may be that of a mailbox which has just been removed.
    return names.has(this.#record.appPasswordId) || names.has(mailbox?.catchAll ?? mailbox?.address);
  }

  /** The label of its app password, when it is an open IMAP session of this mailbox. */
  holder(address: string): string | undefined {
    const holds = this.relaying && this.#protocol === 'imap' && this.#mailbox?.address === address;
    return holds ? this.#record.label : undefined;
  }

  /** Leads the connection from its first byte to the relay or to its end. Never rejects. */
  async run(): Promise<void> {
    const now = this.#signingIn!;
    const { oauth = false, tls } = this.#listener;
    try {
      this.#startTime(now);
      const { limits } = this.#around;
      const socket = tls === 'implicit' ? await this.#secure(now.plain) : now.plain;
      const conn = new Conn(socket, { clock: this.#around.wall, account: this.#account, crowded: 'refuse' });
      now.conn = conn;
      const signedIn = await servers[this.#protocol].serveSignIn(conn, {
        hostname: this.#around.hostname,
        ...(tls === 'implicit' ? {} : { secure: this.#secure }),
        allowPlain: tls === 'none',
        bearer: oauth,
        lineOctets: limits.lineOctets,
        literalOctets: limits.literalOctets,
        maxFailures: limits.maxFailures,
        signal: now.reading.signal,
        ...(this.#protocol === 'imap'
          ? {}
          : { extensions: () => extensionsBefore(this.#around, this.#listener.protocol) }),
        verify: this.#verify,
      });
      if (signedIn === 'closed') {
        if (conn.outOfRoom) this.#record.refusedForRoom(this.#around.rarely);
        return conn.end();
      }
      now.gone.signal.throwIfAborted(); // revoked while the OK was being written
      conn.trust();
      if (now.inTheWay !== undefined && !(await this.#wait(conn, now, now.inTheWay))) return conn.end();
      if (now.submitter === undefined) this.#pass(conn, now.provider!);
      else await this.#submit(conn, now, now.submitter);
    } catch (error) {
      this.#failed(now, asError(error));
    } finally {
      now.timer?.cancel();
      if (this.#relay === undefined && now.provider !== undefined) this.#abandon(now.provider);
      this.#signingIn = undefined;
    }
  }

  closed(): void {
    this.#account.close();
    this.#signingIn?.gone.abort(upstreamError('gateway.provider-unreachable', 'the mail program hung up'));
  }

  /** Ends the session from our side. A sign-in that is being checked is let through unless it is no longer allowed. */
  end(ending: Ending): void {
    if (this.#relay !== undefined) {
      const words = goodbye(this.#protocol, ending, this.#around.hostname);
      this.#relay.cut(this.#keeper === undefined ? words : this.#keeper.goodbye(words));
    } else if (this.#signingIn !== undefined) {
      const now = this.#signingIn;
      const barred = barredBy(ending);
      if (barred !== undefined) now.gone.abort(barred);
      else if (!now.verifying) this.#stop(now, ending);
    }
  }

  /** Another one takes its place before it has signed in. It need not read what it is told. */
  makeRoom(): void {
    const now = this.#signingIn;
    if (now === undefined) return;
    this.#stop(now, 'made-room');
    (now.conn?.socket ?? now.plain).destroySoon();
  }

  drop(ending: Ending): void {
    if (this.#relay !== undefined) this.end(ending);
    else if (this.#signingIn !== undefined) this.#stop(this.#signingIn, ending);
  }

  readonly #secure = (plain: Socket) => handshake(this.#around, this.#protocol, this.#remoteAddress, plain);

  readonly #verify = async (credentials: Credentials): Promise<Verdict> => {
    const now = this.#signingIn!;
    const { clock, meter } = this.#around.deps;
    const started = clock.now();
    now.timer?.cancel();
    now.verifying = true;
    this.#place.hold();
    try {
      const verdict = await this.#judge(now, credentials);
      if (verdict.type === 'refuse' && now.inTheWay === undefined) this.#place.wait();
      const code = verdict.type === 'accept' ? 'ok' : codeOf(verdict.error);
      meter.signIn(this.#protocol, outcomeOf(verdict), code, clock.now() - started);
      return now.inTheWay === undefined ? verdict : { type: 'accept', text: 'the app password is right' };
    } finally {
      now.verifying = false;
      this.#startTime(now);
    }
  };

  async #judge(now: SigningIn, credentials: Credentials): Promise<Verdict> {
    const { deps } = this.#around;
    const { mechanism, user, actAs, secret } = credentials;
    const attempt = { user, password: secret, protocol: this.#protocol, remoteAddress: this.#remoteAddress };
    let shown = asAddress(user);
    let local: SignInResult;
    try {
      local = await deps.signIn.verify(attempt);
      // RFC 4616 §2: the password has to be right for who signs in, who then acts as another where it opens that mailbox too.
      if (local.type === 'accepted' && actAs !== undefined && foldCase(actAs) !== foldCase(user)) {
        shown = asAddress(actAs);
        local = await deps.signIn.verify({ ...attempt, user: actAs });
      }
    } catch (error) {
      const failure = asError(error);
      this.#record.warn(failure, shown, 'sign-in could not be checked');
      return { type: 'refuse', error: outward(failure) };
    }
    if (local.type !== 'accepted') {
      this.#record.refused(shown, mechanism, local);
      if (local.type === 'refused') return { type: 'refuse', error: refusedHere(local.reason, shown) };
      this.#place.wait(); // whoever guesses holds nobody up meanwhile
      await this.#around.wall.sleep(Math.min(local.waitMs, SLOWEST_MS), now.gone.signal).catch(() => undefined); // gone: nobody reads on
      return { type: 'refuse', error: slowed(local.retryAt) };
    }
    this.#mailbox = local.mailbox;
    this.#record.appPasswordId = local.appPassword.id;
    this.#record.label = local.appPassword.label;
    this.#dropsCopies = local.appPassword.dropOwnSentCopy === true;
    this.#record.note('signin.local', 'ok', this.#mailbox.address, { mechanism });
    // What is in memory may be older than the command that opened the mailbox again.
    const mailbox = local.mailbox.suspended
      ? ((await deps.signIn.mailbox(local.mailbox.address)) ?? local.mailbox)
      : local.mailbox;
    try {
      const provider = await this.#admit(now, mailbox, local.appPassword);
      return provider !== undefined && this.#protocol === 'imap'
        ? { type: 'accept', capabilities: imapAfterSignIn(provider.capabilities) }
        : { type: 'accept' };
    } catch (error) {
      const failure = outward(asError(error));
      const revoked = now.gone.signal.aborted;
      if (this.#protocol === 'smtp' && !revoked) now.inTheWay = { failure, appPassword: local.appPassword };
      else this.#forget();
      return { type: 'refuse', error: failure, bye: revoked };
    }
  }

  /** Who serves this program: the provider, or nobody else where its mail goes to the outbox. @throws gateway.*, store.* */
  async #admit(now: SigningIn, mailbox: Mailbox, appPassword: AppPassword): Promise<UpstreamConnection | undefined> {
    const { books, deps, upstream } = this.#around;
    const taken = this.#protocol === 'smtp' && deps.submission?.takes(mailbox, appPassword) === true;
    const suspended = taken ? deps.signIn.suspended(mailbox) : mailbox.suspended?.reason; // of a grant the lack of a token says it
    if (taken && suspended === undefined) {
      now.submitter = appPassword;
      return undefined;
    }
    try {
      if (suspended !== undefined) throw mailboxClosed(suspended);
      const provider = await upstream.signIn(mailbox, this.#protocol, now.gone.signal);
      now.provider = provider;
      now.gone.signal.throwIfAborted();
      if (this.#protocol !== 'imap') books[this.#protocol].learn(provider.endpoint, provider.capabilities);
      this.#record.note('signin.upstream', 'ok', mailbox.address, {
        host: provider.endpoint.host,
        mechanism: provider.mechanism,
        ...(provider.reused ? { reused: true } : {}),
      });
      if (provider.reused) deps.meter.sessionReused();
      return provider;
    } catch (error) {
      const failure = asError(error);
      if (!now.gone.signal.aborted) {
        this.#record.note('signin.upstream', 'failed', mailbox.address, { code: codeOf(failure) });
        this.#record.warn(failure, mailbox.address, 'sign-in at the provider failed');
      }
      throw failure;
    }
  }

  /** The app password is right, but mail can go nowhere: this is tried again with each message. @returns false when the program left */
  #wait(conn: Conn, now: SigningIn, { failure, appPassword }: InTheWay): Promise<boolean> {
    now.timer?.cancel();
    const { address } = this.#mailbox!;
    return waitForProvider(conn, this.#around, now.gone.signal, failure, async () => {
      const mailbox = await this.#around.deps.signIn.mailbox(address);
      if (mailbox?.protocols.includes('smtp') !== true) throw mailboxClosed();
      this.#mailbox = mailbox;
      await this.#admit(now, mailbox, appPassword);
    });
  }

  #pass(conn: Conn, provider: UpstreamConnection): void {
    const { deps, limits } = this.#around;
    this.#since = deps.clock.now();
    deps.log.info(
      {
        ...this.#record.facts,
        mailbox: this.#mailbox?.address,
        appPasswordId: this.#record.appPasswordId,
        host: provider.endpoint.host,
        ...(provider.reused ? { reused: true } : {}),
      },
      'signed in',
    );
    const farewell = goodbye(this.#protocol, 'idle', this.#around.hostname);
    let over: RelayEnd | undefined;
    const keeper = keeping(this.#around, this.#record, this.#mailbox!, provider, this.#dropsCopies, this.#fault);
    this.#keeper = keeper;
    const running = relay(conn.detach(), provider.conn.detach(), {
      idleMs: limits.idleMs[this.#protocol],
      clock: this.#around.wall,
      ...(farewell === undefined ? {} : { idleGoodbye: farewell }),
      tap: keeper,
      account: this.#account,
      onFault: (error) => {
        this.#record.fault(error, this.#mailbox?.address);
        return lastWords(this.#keeper, goodbye(this.#protocol, 'fault', this.#around.hostname));
      },
      onEnd: (end) => {
        over = end;
        this.#ended(end);
      },
    });
    this.#signingIn!.provider = undefined; // the relay's now, even if it is over already
    if (over === undefined) this.#relay = running;
  }

  /** Thrown on nobody's stack while this session was served: it ends, and no other. Never throws. */
  readonly #fault = (error: unknown): void => {
    if (this.#relay !== undefined && 'fault' in this.#relay) return this.#relay.fault(error);
    this.#record.fault(error, this.#mailbox?.address);
    (this.#signingIn?.conn?.socket ?? this.#signingIn?.plain)?.destroy();
  };

  async #submit(conn: Conn, now: SigningIn, appPassword: AppPassword): Promise<void> {
    const { deps, hostname, limits } = this.#around;
    now.timer?.cancel();
    this.#since = deps.clock.now();
    const mailbox = this.#mailbox!;
    deps.log.info({ ...this.#record.facts, mailbox: mailbox.address, appPasswordId: appPassword.id }, 'signed in');
    conn.setIdle(limits.idleMs.smtp);
    const running = submit(conn, deps.submission!, {
      mailbox: () => deps.signIn.known(mailbox.address) ?? mailbox,
      appPassword,
      hostname,
      sessionId: this.id,
      remoteAddress: this.#remoteAddress,
    });
    this.#relay = running;
    this.#ended(await running.end);
  }

  #ended({ bytesToClient, bytesToServer, reason }: RelayEnd): void {
    const { deps } = this.#around;
    const milliseconds = deps.clock.now() - this.#since;
    const facts = { bytesToClient, bytesToServer, reason, milliseconds };
    this.#relay = undefined;
    this.#keeper?.close();
    this.#keeper = undefined;
    if (this.#protocol === 'imap' && this.#mailbox) this.#around.upstream.ended(this.#mailbox.address);
    this.#record.note('session.ended', reason === 'error' ? 'failed' : 'ok', this.#mailbox?.address, facts);
    deps.log.info({ ...this.#record.facts, mailbox: this.#mailbox?.address, ...facts }, 'session ended');
    deps.meter.sessionEnded(this.#protocol, bytesToClient, bytesToServer);
    this.#forget();
  }

  /** Signed in at the provider, but the program was gone before it could hear of it. */
  #abandon(provider: UpstreamConnection): void {
    provider.conn.end();
    this.#since = this.#around.deps.clock.now();
    this.#ended({ bytesToClient: 0, bytesToServer: 0, reason: 'client-closed' });
  }

  #failed(now: SigningIn, error: PosternError): void {
    const { log } = this.#around.deps;
    const facts = { ...this.#record.facts, code: error.code };
    const text = `connection ended before sign-in: ${error.message}`;
    if (error.kind === 'bug') log.error({ ...facts, error: String(error.cause) }, text);
    else if (error.code === 'wire.closed' || error.code.startsWith('tls.')) log.debug(facts, text);
    else log.info(facts, text);
    if (now.conn === undefined) now.plain.destroy();
    else if (error.code.startsWith('gateway.')) now.conn.end();
    else {
      const ending = error.kind === 'bug' ? 'fault' : isAway(error) ? 'unavailable' : undefined;
      now.conn.end(ending && goodbye(this.#protocol, ending, this.#around.hostname));
    }
  }

  #stop(now: SigningIn, ending: Ending): void {
    const code = ending === 'too-slow' ? 'gateway.sign-in-too-slow' : 'gateway.ended';
    now.gone.abort(gatewayError(code, 'the connection was ended'));
    if (now.conn === undefined) now.plain.destroy();
    else now.conn.end(goodbye(this.#protocol, ending, this.#around.hostname));
    now.reading.abort(gatewayError(code, `the connection was ended (${ending})`));
  }

  #startTime(now: SigningIn): void {
    const clock = guardedClock(this.#around.wall, this.#fault);
    const until = clock.now() + now.leftMs;
    const timer = clock.after(now.leftMs, () => this.#stop(now, 'too-slow'));
    now.timer = {
      cancel: () => {
        timer.cancel();
        now.leftMs = Math.max(0, until - clock.now());
      },
    };
  }

  #forget(): void {
    this.#mailbox = this.#record.appPasswordId = undefined;
  }
}
