/**
 * V8's garbage collection where its own judgement does not fit a server: buffers just used, and quiet. In a process that has
 * exposed its collector (`src/server/heap.ts`); in any other one V8 is left alone.
 */
import { performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { type Clock, systemClock, type Timer } from './clock.ts';

/**
 * Has V8 free what was used last, in about a millisecond. For work that goes through many large buffers and makes few objects:
 * they lie outside the heap, V8 looks for unused ones when its own small heap is full, and a hundred megabytes come together
 * before that.
 */
export function collectYoung(): void {
  globalThis.gc?.({ type: 'minor' });
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
      // Again until nothing more is found, moving what is left together.
      globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
      return performance.now() - started;
    },
  };
}
