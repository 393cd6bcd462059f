/** How V8's heap is kept in a process that relays: small, with the buffers of a bulk transfer freed cheaply. */
import { setFlagsFromString } from 'node:v8';

/**
 * Call before anything else is loaded in a serving process.
 *
 * Relayed octets are short-lived buffers outside the heap. V8 gives those a limit of their own and marks the whole heap every
 * time some 20 MB of them have come together; counted into the limit of the heap instead, they are mostly, though not always,
 * freed by the small collections of the young generation (docs/performance.md has what is known and what is open).
 * The young generation keeps its first size instead of growing to 64 MiB that stay resident.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setFlagsFromString('--semi-space-growth-factor=1');
}
