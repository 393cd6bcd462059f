/** How V8's heap is kept in a process that relays: small, with the buffers of a bulk transfer freed cheaply. */
import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Gives this process, and the threads it starts from now on, V8's collector as `globalThis.gc`: `src/base/collection.ts` asks for
 * it. Here it is made when it is first asked for, because a context costs a millisecond.
 */
export function exposeCollector(): void {
  setFlagsFromString('--expose-gc'); // contexts made from now on have it
  const collector = { configurable: true, get: () => (made ??= runInNewContext('gc') as NodeJS.GCFunction) };
  let made: NodeJS.GCFunction | undefined;
  Object.defineProperty(globalThis, 'gc', collector);
}

/** Percent above what is alive at which everything is collected again: enough for the buffers of a bulk transfer. */
const LARGEST_STEP = 300;
/** V8's own, about. */
const SMALLEST_STEP = 50;
/** Garbage that may lie about until then. Three times what is alive would be more than a container of 512 MiB has. */
const GARBAGE_OCTETS = 96 * 1024 * 1024;

/**
 * Call before anything else is loaded in a serving process.
 *
 * Relayed octets are short-lived buffers outside the heap. V8 gives those a limit of their own and marks the whole heap every
 * time some 20 MB of them have come together; counted into the limit of the heap instead, they are freed by the small
 * collections of the young generation, as long as that limit leaves them room: with V8's own step (a third to a half above
 * what is alive) 800 MB of mail still cost 17 to 48 full collections, with a step of 300 % none, and a third of the CPU less.
 * A large heap gets a smaller step, so that no more than 96 MiB of garbage come together, or half of what is alive.
 * The young generation keeps its first size instead of growing to 64 MiB that stay resident; `makeRoom` lets it grow to a
 * quarter of that where mail is taken by the thousand.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setFlagsFromString(`--heap-growing-percent=${LARGEST_STEP}`);
  setFlagsFromString('--semi-space-growth-factor=1');
  const { NODE_PERFORMANCE_GC_MAJOR } = constants;
  const collected = new PerformanceObserver((list) => {
    const isMajor = (entry: PerformanceEntry & { readonly detail?: { readonly kind?: number } }): boolean =>
      entry.detail?.kind === NODE_PERFORMANCE_GC_MAJOR;
    if (list.getEntries().some(isMajor)) boundStep();
  });
  collected.observe({ entryTypes: ['gc'] });
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

/** Right after a full collection: what is there is alive. The step counts from the next one on. */
function boundStep(): void {
  const { used_heap_size: used, external_memory: external } = getHeapStatistics();
  setFlagsFromString(`--heap-growing-percent=${stepFor(used + external)}`);
}

/** @param alive octets */
export function stepFor(alive: number): number {
  const step = Math.round((100 * GARBAGE_OCTETS) / alive);
  return Math.min(LARGEST_STEP, Math.max(SMALLEST_STEP, step));
}
