/** The provider's own submission server, signed in with the mailbox's grant; connections are kept for the next message. */
import { asError } from '../../base/error.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { type SmtpReply, SmtpSender } from '../../protocol/smtp/send.ts';
import type { Mailbox } from '../../store/types.ts';
import type { SignInAt } from '../../upstream/upstream.ts';
import { authorOf } from './author.ts';
import { outcomeOf, outcomeOfFailure, outcomesAtRcpt } from './judge.ts';
import type { Outcome, Route, SendJob } from './types.ts';

/** Servers end idle connections after minutes; ours go first. */
const IDLE_MS = 20_000;
/** Exchange ends a session with its token: no message is begun so short before. */
const TOKEN_LEFT_MS = 60_000;
/** Silence in the middle of a transaction (RFC 5321 §4.5.3.2: ten minutes for the reply to the dot). */
const SILENCE_MS = 10 * 60_000;

interface Kept {
  readonly sender: SmtpSender;
  readonly expiresAt: number;
  timer: Timer | undefined;
}

export class SmtpRoute implements Route {
  readonly name: string;
  readonly leavesNoCopy: boolean;
  readonly #signIn: SignInAt;
  readonly #clock: Clock;
  readonly #idle = new Map<string, Kept[]>();

  readonly endpoint: NonNullable<Route['endpoint']>;

  /**
   * @param endpoint the server of a mailbox, `host:port`
   * @param as another server than the provider's, which keeps no copies in the mailbox
   */
  constructor(signIn: SignInAt, clock: Clock, endpoint: NonNullable<Route['endpoint']>, as: 'smtp' | 'relay' = 'smtp') {
    this.name = as;
    this.endpoint = endpoint;
    this.leavesNoCopy = as === 'relay';
    this.#signIn = signIn;
    this.#clock = clock;
  }

  async send(job: SendJob, signal: AbortSignal): Promise<Outcome> {
    const { mailbox, message, recipients } = job;
    for (;;) {
      let kept = this.#take(mailbox.address);
      const reused = kept !== undefined;
      try {
        kept ??= await this.#open(mailbox, signal);
        const result = await kept.sender.send(
          {
            from: message.envelopeFrom,
            recipients,
            size: message.size + job.markOctets,
            eightBit: message.eightBit,
            smtputf8: message.smtputf8,
            ...message.dsn,
            envid: job.envelopeId,
            body: (replies) => marked(job, replies),
          },
          signal,
        );
        this.#keep(mailbox.address, kept);
        const outcome = outcomeOf(result, recipients, {
          mailbox,
          from: result.type === 'refused' ? await authorOf(job) : message.envelopeFrom,
        });
        return outcome.type === 'sent' ? { ...outcome, dsnPassedOn: kept.sender.offers('DSN') } : outcome;
      } catch (error) {
        signal.throwIfAborted();
        const failure = asError(error);
        // A kept connection may have ended unseen; nothing was taken, so a fresh one gets its chance.
        if (reused && failure.code.startsWith('wire.')) continue;
        return outcomeOfFailure(failure, this.#clock.now(), mailbox, kept === undefined ? 'at the door' : 'inside');
      }
    }
  }

  close(): Promise<void> {
    for (const kept of [...this.#idle.values()].flat()) {
      kept.timer?.cancel();
      kept.sender.end();
    }
    this.#idle.clear();
    return Promise.resolve();
  }

  async #open(mailbox: Mailbox, signal: AbortSignal): Promise<Kept> {
    const { conn, endpoint, capabilities, expiresAt } = await this.#signIn(mailbox, 'smtp', signal);
    conn.setIdle(SILENCE_MS);
    return { sender: new SmtpSender(conn, endpoint.host, capabilities), expiresAt, timer: undefined };
  }

  #take(address: string): Kept | undefined {
    const idle = this.#idle.get(address) ?? [];
    for (let kept = idle.pop(); kept; kept = idle.pop()) {
      kept.timer?.cancel();
      if (kept.sender.usable && kept.expiresAt - this.#clock.now() > TOKEN_LEFT_MS) return kept;
      kept.sender.end();
    }
    return undefined;
  }

  #keep(address: string, kept: Kept): void {
    if (!kept.sender.usable) return kept.sender.end();
    const idle = this.#idle.get(address) ?? [];
    this.#idle.set(address, idle);
    idle.push(kept);
    kept.timer = this.#clock.after(IDLE_MS, () => {
      const at = idle.indexOf(kept);
      if (at !== -1) idle.splice(at, 1);
      if (idle.length === 0) this.#idle.delete(address);
      kept.sender.end();
    });
  }
}

/** What is sent once it is known for whom: refusals are written down first, and the mark names those that are left. */
async function marked(job: SendJob, replies: readonly SmtpReply[]): Promise<AsyncIterable<Uint8Array>> {
  const asked = { mailbox: job.mailbox, from: job.message.envelopeFrom };
  const outcomes = outcomesAtRcpt(job.recipients, replies, asked);
  const named = job.recipients.filter((_, at) => outcomes[at]!.outcome === 'delivered');
  if (named.length < job.recipients.length) await job.named(outcomes);
  return (async function* () {
    yield Buffer.from(job.mark(named));
    yield* job.body();
    job.mayFinish();
  })();
}
