/**
 * Brute force, slowed. An app password has 128 random bits, so guessing is hopeless anyway; what this stops is the noise: CPU,
 * log lines, and programs that hammer with an old password.
 *
 * Only wrong passwords are slowed, by their client's address and by the mailbox they were tried on. A right one is never made
 * to wait: otherwise a stranger's failures, or one misconfigured program behind the same address, would lock the owner out.
 *
 * Failures are counted for the installation: workers and machines add theirs up in one row of the database, several at a time.
 * A sign-in that succeeds writes nothing, but after failures of its address.
 */
import { hash } from 'node:crypto';
import { atMost, type Clock, type Timer } from '../base/clock.ts';
import { inLedger, type Ledger } from '../store/ledger.ts';

export interface Wait {
  readonly waitMs: number;
  readonly retryAt: number;
}

type Kind = 'address' | 'mailbox';

/** Typing errors, and a program trying every protocol once, must not be slowed. */
const FREE_FAILURES = { address: 5, mailbox: 20 };
/** Doubles from here with each further failure. */
const FIRST_WAIT_MS = 500;
/** A mail program gives up after about a minute; a held connection counts against its address's limit meanwhile. */
const MAX_WAIT_MS = { address: 30_000, mailbox: 5_000 };
/** Failures are forgotten one by one, each after this. */
const FORGET_ONE_MS = 60_000;
/** No more are remembered, so that the way back to normal is at most half an hour. */
const MAX_FAILURES = 30;
/** Names counted in this process; the oldest go first. Some 2 MB at most. */
const MAX_ENTRIES = 10_000;
/** Names counted for the installation: those that failed last. A row of some 20 KB at most. */
const MAX_SHARED = 500;
/** Of this process; in a flood several failures share one, and do not wait for it. */
const WRITES_A_SECOND = 20;
/** Nobody is kept waiting for a slow database: what this process counted is what there is. */
const PATIENCE_MS = 1000;

/** As stored, the last failure last. */
type Shared = (readonly [name: string, count: number, at: number])[];

export class SlowDown {
  readonly #clock: Clock;
  readonly #ledger: Ledger;
  readonly #row: string;
  readonly #known = new Map<string, { readonly count: number; readonly at: number }>();
  /** What the next write adds, by name; -1 forgets it. */
  #news = new Map<string, number>();
  /** The write that is to come, and the one before it. */
  #next: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();
  /** Writes since this moment. */
  #second = 0;
  #writes = 0;
  #later: Timer | undefined;

  /** @param row names the count: programs and API keys have one each */
  constructor(clock: Clock, ledger: Ledger, row: string) {
    this.#clock = clock;
    this.#ledger = ledger;
    this.#row = `guesses/${row}`;
  }

  /** Counts a wrong password and says how long its answer has to wait; undefined: not at all. Never rejects. */
  async failed(client: string, mailbox: string): Promise<Wait | undefined> {
    const names = [nameOf('address', client), nameOf('mailbox', mailbox)] as const;
    const saturated = names.every((name) => this.#count(name) >= MAX_FAILURES);
    for (const name of names) {
      this.#set(name, this.#count(name) + 1);
      const news = this.#news.get(name) ?? 0;
      this.#news.set(name, Math.max(0, news) + 1);
    }
    while (this.#news.size > MAX_SHARED) this.#news.delete(this.#news.keys().next().value!);
    // One that waits as long as can be need not be told by the others, nor be waited for.
    if (saturated) void this.#write();
    else await atMost(this.#clock, PATIENCE_MS, this.#write());
    const waitMs = Math.max(this.#wait('address', names[0]), this.#wait('mailbox', names[1]));
    return waitMs === 0 ? undefined : { waitMs, retryAt: this.#clock.now() + waitMs };
  }

  close(): void {
    this.#later?.cancel();
  }

  /** The client knows a right password: its failures were mistakes. */
  succeeded(client: string): void {
    if (this.#known.size === 0) return;
    const name = nameOf('address', client);
    if (!this.#known.delete(name)) return;
    this.#news.set(name, -1);
    void this.#write();
  }

  #wait(kind: Kind, name: string): number {
    const over = this.#count(name) - FREE_FAILURES[kind];
    return over <= 0 ? 0 : Math.min(MAX_WAIT_MS[kind], FIRST_WAIT_MS * 2 ** (over - 1));
  }

  #count(name: string): number {
    const known = this.#known.get(name);
    return known === undefined ? 0 : left(known.count, known.at, this.#clock.now());
  }

  #set(name: string, count: number): void {
    this.#known.delete(name);
    if (this.#known.size >= MAX_ENTRIES) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(name, { count: Math.min(MAX_FAILURES, count), at: this.#clock.now() });
  }

  /** Has the news written, with what else there is by then; resolves when that is done, or put off. Never rejects. */
  #write(): Promise<void> {
    if (this.#next !== undefined) return this.#next;
    const now = this.#clock.now();
    if (now - this.#second >= 1000) [this.#second, this.#writes] = [now, 0];
    if (this.#writes >= WRITES_A_SECOND) {
      this.#later ??= this.#clock.after(this.#second + 1000 - now, () => {
        this.#later = undefined;
        void this.#write();
      });
      return Promise.resolve();
    }
    this.#writes += 1;
    this.#next = this.#last.then(async () => {
      this.#next = undefined;
      const news = this.#news;
      this.#news = new Map();
      await this.#add(news).catch(() => undefined); // while the database is away our own count is what there is
    });
    this.#last = this.#next;
    return this.#next;
  }

  async #add(news: ReadonlyMap<string, number>): Promise<void> {
    const now = this.#clock.now();
    const shared = await inLedger(this.#ledger, this.#row, (entry) => {
      const before = new Map((entry === undefined ? [] : (JSON.parse(entry) as Shared)).map((one) => [one[0], one]));
      for (const [name, more] of news) {
        const known = before.get(name);
        before.delete(name);
        const count = known === undefined ? 0 : left(known[1], known[2], now);
        if (more > 0) before.set(name, [name, Math.min(MAX_FAILURES, count + more), now]);
      }
      const kept = [...before.values()].filter(([, count, at]) => left(count, at, now) > 0).slice(-MAX_SHARED);
      return { entry: JSON.stringify(kept), result: before };
    });
    for (const [name, more] of news) {
      const count = shared.get(name)?.[1] ?? 0;
      if (more > 0 && count > this.#count(name)) this.#set(name, count);
    }
  }
}

/** What remains of so many failures. Another machine's clock may be ahead. */
function left(count: number, at: number, now: number): number {
  return Math.max(0, count - Math.floor(Math.max(0, now - at) / FORGET_ONE_MS));
}

/** What strangers send as a name, a password typed into the wrong field among it, is not written down. */
function nameOf(kind: Kind, text: string): string {
  return `${kind[0]}${hash('sha256', text, 'base64url').slice(0, 16)}`;
}
