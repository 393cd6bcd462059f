/** V8's young generation: freeing buffers that have just been used, and room for much that is short-lived. */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Has V8 free what was used last, in about a millisecond. For work that goes through many large buffers and makes few objects:
 * they lie outside the heap, V8 looks for unused ones when its own small heap is full, and a hundred megabytes come together
 * before that.
 */
export function collectYoung(): void {
  collect ??= exposed();
  collect({ type: 'minor' });
}

let collect: ((options: { readonly type: 'minor' }) => void) | undefined;

/** V8 gives its `gc` to contexts made while this is set, and to no code but this. */
function exposed(): NonNullable<typeof collect> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as NonNullable<typeof collect>;
  setFlagsFromString('--no-expose-gc');
  return gc;
}

/** Octets of both halves; V8 begins with 2 MiB, where `keepHeapSmall` keeps it. */
const ROOM = 8 * 1024 * 1024;

/**
 * Lets the young generation grow to 4 MiB in each half, until V8 shrinks it for want of work. Call now and again under load
 * that makes many objects for a moment: collections become a quarter as many.
 */
export function makeRoom(): void {
  const now = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0;
  setFlagsFromString(`--semi-space-growth-factor=${now < ROOM ? 4 : 1}`);
}
