/** What an IMAP session needs now and then while its server is there: IDLE begun again, UIDs asked for in a silence. */
import type { Clock, Timer } from '../../base/clock.ts';
import type { ImapTap } from './tap.ts';

/** RFC 2177: an IDLE is to be ended and begun again at least every 29 minutes. */
const IDLE_MS = 28 * 60_000;
/**
 * Silence after which the UIDs of a mailbox are asked for, in case the server goes away. Long enough that programs which look and
 * leave never cause it, and that one which works is not made to wait for it.
 */
const SILENCE_MS = 2_000;
/** A server that does not tell all of them is not asked for ever. */
const MAX_NUMBERINGS = 3;

export class Upkeep {
  readonly #clock: Clock;
  readonly #tap: ImapTap;
  readonly #work: (task: () => Promise<void>) => void;
  #idle: Timer | undefined;
  #silence: Timer | undefined;
  #numberings = 0;
  #activeAt = 0;

  /** @param work runs a task when nothing else uses the server */
  constructor(clock: Clock, tap: ImapTap, work: (task: () => Promise<void>) => void) {
    this.#clock = clock;
    this.#tap = tap;
    this.#work = work;
  }

  /** A command was answered, an IDLE began or ended, another server took over. */
  changed(): void {
    const { idling, unnumbered } = this.#tap;
    this.#activeAt = this.#clock.now();
    if (!idling) {
      this.#idle?.cancel();
      this.#idle = undefined;
    } else this.#idle ??= this.#clock.after(IDLE_MS, () => this.#work(this.#renewIdle));
    if (unnumbered) this.#awaitSilence();
    else this.#numberings = 0;
  }

  close(): void {
    this.#idle?.cancel();
    this.#silence?.cancel();
  }

  readonly #renewIdle = async (): Promise<void> => {
    const tap = this.#tap;
    this.#idle = undefined;
    if (tap.idling && tap.quiet) {
      tap.hold();
      await tap.suspendIdle();
      if (tap.suspended) await tap.resumeIdle();
      tap.release();
    }
    this.changed();
  };

  #awaitSilence(): void {
    if (this.#silence !== undefined || this.#numberings >= MAX_NUMBERINGS) return;
    this.#silence = this.#clock.after(SILENCE_MS, () => {
      this.#silence = undefined;
      const tap = this.#tap;
      if (!tap.unnumbered) return;
      if (!tap.quiet || tap.idling || this.#clock.now() - this.#activeAt < SILENCE_MS) return this.#awaitSilence();
      this.#numberings += 1;
      this.#work(async () => {
        if (tap.quiet && tap.unnumbered) await tap.number();
      });
    });
  }
}
