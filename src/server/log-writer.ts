/** How finished log lines leave: a log that cannot be written costs its lines, never the process that writes it. */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { systemClock, type Timer } from '../base/clock.ts';

/** Where lines go. */
export interface Outlet {
  readonly isTTY: boolean;
  /** Writes what fits; how many octets that was. @throws what the operating system says */
  put(octets: Uint8Array): number;
}

/** What has become of lines that could not be written. */
export interface LogLosses {
  /** Since the process began. */
  readonly lines: number;
  /** Why lines are lost just now; undefined while the log is written. */
  readonly why: string | undefined;
}

const STANDARD_ERROR = 2;

/**
 * Standard error by its descriptor: Node's own stream of it ends for good at the first failure, although a disk gets room again,
 * and hands the failure to whoever wrote. A pipe is opened again for this process alone, so that a reader that has stopped
 * reading (`| less`) holds up nobody.
 */
export function standardError(): Outlet {
  let fd: number | undefined;
  return {
    isTTY: isatty(STANDARD_ERROR),
    put: (octets) => writeSync((fd ??= unblockedPipe() ?? STANDARD_ERROR), octets),
  };
}

function unblockedPipe(): number | undefined {
  try {
    if (!fstatSync(STANDARD_ERROR).isFIFO()) return undefined;
    return openSync(`/proc/self/fd/${STANDARD_ERROR}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined; // no /proc, a pipe of another user, or nobody reads any more
  }
}

/** What waits for a reader that is slow; lines beyond that are lost. */
const MAX_HELD_OCTETS = 1024 * 1024;
/** How soon a reader that was slow is tried again. */
const SLOW_MS = 50;
/** How often it is tried whether a log that failed can be written again, when there are no lines that try. */
const RETRY_MS = 5000;
/** The last lines of a process get so long. */
const LAST_MS = 500;
const NEW_LINE = 10;
const NOTHING: Uint8Array = new Uint8Array();

/**
 * Lines of one turn of the event loop leave together: a busy gateway writes two lines a session, and a system call for each
 * would be seen in its sign-ins per second.
 */
export class LineWriter {
  readonly #outlet: Outlet;
  /** A finished line that says how many were lost. */
  readonly #notice: (lost: number, why: string) => string;
  #waiting: string[] = [];
  /** Octets a slow reader has not taken yet. */
  #held: Uint8Array = NOTHING;
  /** The last line written was cut off. */
  #torn = false;
  /** Lost since the log was last told of it. */
  #lost = 0;
  #lines = 0;
  #why: string | undefined;
  #timer: Timer | undefined;

  constructor(outlet: Outlet, notice: (lost: number, why: string) => string) {
    this.#outlet = outlet;
    this.#notice = notice;
  }

  get losses(): LogLosses {
    return { lines: this.#lines, why: this.#why };
  }

  write(line: string): void {
    if (this.#waiting.push(line) === 1) setImmediate(this.#leave);
  }

  /** Writes what is left, for the end of a process: a slow reader gets a moment. Never throws. */
  flush(): void {
    const until = performance.now() + LAST_MS;
    this.#leave();
    while (this.#held.length > 0 && performance.now() < until) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
      this.#leave();
    }
  }

  readonly #leave = (): void => {
    this.#timer?.cancel();
    this.#timer = undefined;
    const fresh = Buffer.from(this.#waiting.join(''));
    this.#waiting = [];
    if (!this.#told()) this.#lose(fresh);
    else if (this.#held.length + fresh.length > MAX_HELD_OCTETS) this.#lose(fresh, 'whoever reads it does not');
    else this.#put(this.#held.length === 0 ? fresh : Buffer.concat([this.#held, fresh]));
  };

  /** Says that lines were lost, if any were; false when that cannot be written either. */
  #told(): boolean {
    if (this.#held.length > 0) this.#put(this.#held);
    if (this.#lost === 0 || this.#held.length > 0) return true;
    const [lost, why] = [this.#lost, this.#why ?? ''];
    this.#lost = 0;
    if (this.#put(Buffer.from(`${this.#torn ? '\n' : ''}${this.#notice(lost, why)}`), 'not counted')) return true;
    this.#lost += lost;
    return false;
  }

  /** False when it failed; what a slow reader has not taken is held. */
  #put(octets: Uint8Array, counted?: 'not counted'): boolean {
    let rest = octets;
    this.#held = NOTHING;
    try {
      while (rest.length > 0) {
        const written = this.#outlet.put(rest);
        if (written > 0) this.#torn = rest[written - 1] !== NEW_LINE;
        rest = rest.subarray(written);
        this.#why = undefined;
      }
      return true;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN') {
        this.#held = rest;
        this.#again(SLOW_MS);
        return true;
      }
      this.#lose(counted ? NOTHING : rest, code === 'EPIPE' ? 'whoever read it is gone' : (code ?? message));
      return false;
    }
  }

  #lose(octets: Uint8Array, why = this.#why): void {
    const lines = linesIn(octets);
    this.#lost += lines;
    this.#lines += lines;
    this.#why = why;
    this.#again(this.#held.length > 0 ? SLOW_MS : RETRY_MS);
  }

  #again(ms: number): void {
    this.#timer?.cancel();
    this.#timer = systemClock.after(ms, this.#leave);
  }
}

function linesIn(octets: Uint8Array): number {
  let count = 0;
  for (const octet of octets) if (octet === NEW_LINE) count++;
  return count;
}
