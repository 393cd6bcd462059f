/** How V8's heap is kept in a process that relays: small, with the buffers of a bulk transfer freed cheaply. */
import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';

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
