/** A server that owes an answer and says nothing any more: its connection may be gone without a word of that (half-open TCP). */
import type { Clock, Timer } from '../../base/clock.ts';

export interface SilencePorts {
  /** True while the server owes an answer. */
  waiting(): boolean;
  /** True when what it owes may take a good server minutes. */
  slow(): boolean;
  /** Octets that went through in either direction since the session began. */
  octets(): number;
  /** It has been silent for too long. @param since when the last octet went through, in milliseconds since the epoch */
  silent(since: number): void;
}

/** One timer serves all commands that are given meanwhile. */
const LOOK_MS = 15_000;
/**
 * Servers say "still here" every ten to sixty seconds of a long search, and mail programs give up after one to two minutes. With
 * the last look a server is taken for gone after 60 to 75 seconds, which leaves a new sign-in its whole 45 seconds (`upstreamMs`)
 * within the two minutes that docs/sessions.md promises.
 */
const MAX_SILENT_LOOKS = 5;
/**
 * For commands that work through a whole mailbox or write much: some servers say nothing before they are done. A server that is gone
 * after it has acknowledged such a command is found by TCP keep-alive within 70 seconds all the same; that does not probe while the
 * command itself is not acknowledged, which is why there is an end at all (285 to 300 seconds).
 */
const MAX_SLOW_LOOKS = 20;

export class Silence {
  readonly #clock: Clock;
  readonly #ports: SilencePorts;
  #timer: Timer | undefined;
  #octets = 0;
  #looks = 0;
  #since = 0;

  constructor(clock: Clock, ports: SilencePorts) {
    this.#clock = clock;
    this.#ports = ports;
  }

  /** The server has been asked something. */
  begin(): void {
    this.#timer ??= this.#watch();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #watch(): Timer {
    this.#octets = -1; // unlike any: the first look begins to count
    return this.#clock.after(LOOK_MS, this.#look);
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    if (!this.#ports.waiting()) return;
    const octets = this.#ports.octets();
    if (octets !== this.#octets) {
      this.#octets = octets;
      this.#looks = 0;
      this.#since = this.#clock.now() - LOOK_MS;
    }
    this.#looks += 1;
    if (this.#looks >= (this.#ports.slow() ? MAX_SLOW_LOOKS : MAX_SILENT_LOOKS)) return this.#ports.silent(this.#since);
    this.#timer = this.#clock.after(LOOK_MS, this.#look);
  };
}
