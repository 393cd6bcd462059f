/**
 * Room for what the API holds of requests: bodies that are read whole, and mail made from templates. Taken as octets come, not
 * as they are announced, from the budget that all peers of the process share; half of it at most, so that mail programs find
 * theirs, and a part of that for one key.
 */
import type { Clock } from '../../base/clock.ts';
import type { Budget } from '../../protocol/wire/budget.ts';
import { apiError } from './errors.ts';

/** Of each request, uncounted: an ordinary message finds room however much others hold. A thousand connections make 8 MiB. */
const FREE_OCTETS = 8 * 1024;
/** Shares of the budget: of all requests, and of those of one key. */
const OF_ALL = 1 / 2;
const OF_KEY = 1 / 4;
/** A request waits this long for others to be done, the one that waits longest twice as long; then it is to come again. */
const WAIT_MS = 2000;
const LOOK_MS = 50;

export class Rooms {
  readonly #budget: Pick<Budget, 'take' | 'give' | 'octets'> | undefined;
  readonly #clock: Clock;
  readonly #byKey = new Map<string, number>();
  readonly #waiting = new Set<() => boolean>();
  #all = 0;

  constructor(budget: Pick<Budget, 'take' | 'give' | 'octets'> | undefined, clock: Clock) {
    this.#budget = budget;
    this.#clock = clock;
  }

  /** For one request. Close it when the request is answered. */
  open(key: string): Room {
    let held = 0;
    let counted = 0;
    const more = (octets: number): number => Math.max(0, held + octets - FREE_OCTETS) - counted;
    return {
      take: async (octets) => {
        if (!this.#take(key, counted, more(octets))) await this.#wait(() => this.#take(key, counted, more(octets)));
        counted += more(octets);
        held += octets;
      },
      give: (octets) => {
        held -= octets;
        const less = -more(0);
        counted -= less;
        this.#give(key, less);
      },
      close: () => {
        this.#give(key, counted);
        [held, counted] = [0, 0];
      },
    };
  }

  /** Looks again and again. Whoever waits longest is the last to give up, so that of two that hold half each one gets through. */
  async #wait(take: () => boolean): Promise<void> {
    this.#waiting.add(take);
    try {
      for (let waited = 0; !take(); waited += LOOK_MS) {
        const [oldest] = this.#waiting;
        if (waited >= (oldest === take ? 2 * WAIT_MS : WAIT_MS))
          throw apiError('api.busy', 'there is no room for this request just now', {
            retryAt: new Date(this.#clock.now() + WAIT_MS),
          });
        await this.#clock.sleep(LOOK_MS);
      }
    } finally {
      this.#waiting.delete(take);
    }
  }

  /** @param own what this request holds: one that is alone may have more than its share, as a body of the largest size has */
  #take(key: string, own: number, octets: number): boolean {
    if (this.#budget === undefined || octets <= 0) return true;
    const ofKey = this.#byKey.get(key) ?? 0;
    if (this.#all > own && this.#all + octets > this.#budget.octets * OF_ALL) return false;
    if (ofKey > own && ofKey + octets > this.#budget.octets * OF_KEY) return false;
    if (!this.#budget.take(octets)) return false;
    this.#all += octets;
    this.#byKey.set(key, ofKey + octets);
    return true;
  }

  #give(key: string, octets: number): void {
    if (this.#budget === undefined || octets === 0) return;
    this.#budget.give(octets);
    this.#all -= octets;
    const left = (this.#byKey.get(key) ?? 0) - octets;
    if (left > 0) this.#byKey.set(key, left);
    else this.#byKey.delete(key);
  }
}

/** What one request holds. */
export interface Room {
  /** So many octets more; waits some seconds for others to be done. @throws api.busy */
  take(octets: number): Promise<void>;
  /** So many octets less. */
  give(octets: number): void;
  close(): void;
}
