/** V8's garbage collection where its own judgement does not fit a server: buffers just used, much that is short-lived, and quiet. */
import { performance } from 'node:perf_hooks';
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Clock, systemClock, type Timer } from './clock.ts';

/**
 * Has V8 free what was used last, in about a millisecond. For work that goes through many large buffers and makes few objects:
 * they lie outside the heap, V8 looks for unused ones when its own small heap is full, and a hundred megabytes come together
 * before that.
 */
export function collectYoung(): void {
  collector()({ type: 'minor' });
}

/** Octets of both halves; V8 begins with 2 MiB, where `keepHeapSmall` keeps it. */
const ROOM = 8 * 1024 * 1024;

/** A look costs some microseconds; so many sign-ins or messages fill the young generation a few times over. */
const MANY = 64;
let called = 0;

/**
 * Lets the young generation grow to 4 MiB in each half, until V8 shrinks it for want of work. Call for each of what makes many
 * objects for a moment, such as a sign-in or a message that is taken; it looks at every 64th. Collections become a quarter as many.
 */
export function makeRoom(): void {
  called = (called + 1) % MANY;
  if (called !== 0) return;
  const now = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0;
  setFlagsFromString(`--semi-space-growth-factor=${now < ROOM ? 4 : 1}`);
}

/** What {@link collectWhenQuiet} sees and does. */
export interface Heap {
  /** The share of the time since it was last asked that the event loop of this thread was busy, from 0 to 1. */
  busy(): number;
  /** Octets in use, garbage included. */
  used(): number;
  /** Collects everything and gives pages back to the system; the milliseconds it took. */
  collect(): number;
}

/** How often it looks, in milliseconds; a quiet stretch is one such time. */
const LOOK_MS = 250;
const QUIET = 0.05;
/** Less is not worth it: about what a start, or fifty sign-ins, leave behind. */
const GROWTH = 8 * 1024 * 1024;
/** A thorough collection stands still for some 3 ms a megabyte. Beyond this, V8's own, which work bit by bit, are left alone. */
const MOST = 64 * 1024 * 1024;
/** Times what the last collection took, in which there is no other: a twentieth of one core at the very most. */
const REST = 20;

/**
 * From now on collects this thread's heap, thoroughly, whenever it has grown and nothing happens. V8 does not: it waits for the
 * heap to grow to a multiple, and a gateway that has been busy keeps the pages for good.
 */
export function collectWhenQuiet(clock: Clock = systemClock, heap: Heap = ownHeap()): { stop(): void } {
  let before = 0;
  let rest = 0;
  let timer: Timer;
  const look = (): void => {
    const quiet = heap.busy() < QUIET;
    rest -= LOOK_MS;
    const used = quiet && rest <= 0 ? heap.used() : 0;
    if (used - before >= GROWTH && used <= MOST) {
      rest = heap.collect() * REST;
      before = heap.used();
    }
    timer = clock.after(LOOK_MS, look);
  };
  timer = clock.after(LOOK_MS, look);
  return { stop: () => timer.cancel() };
}

function ownHeap(): Heap {
  let last = performance.eventLoopUtilization();
  return {
    busy() {
      const { utilization } = performance.eventLoopUtilization(last);
      last = performance.eventLoopUtilization();
      return utilization;
    },
    used: () => getHeapStatistics().used_heap_size,
    collect() {
      const started = performance.now();
      collector()({ type: 'major', execution: 'sync', flavor: 'last-resort' });
      return performance.now() - started;
    },
  };
}

type Collection =
  | { readonly type: 'minor' }
  /** Again until nothing more is found, moving what is left together. */
  | { readonly type: 'major'; readonly execution: 'sync'; readonly flavor: 'last-resort' };
type Collector = (options: Collection) => void;

let exposed: Collector | undefined;

/** V8 gives its `gc` to contexts made while this is set, and to no code but this. */
function collector(): Collector {
  if (exposed === undefined) {
    setFlagsFromString('--expose-gc');
    exposed = runInNewContext('gc') as Collector;
    setFlagsFromString('--no-expose-gc');
  }
  return exposed;
}
