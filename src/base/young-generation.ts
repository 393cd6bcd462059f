/** Freeing buffers that have just been used. */
import { setFlagsFromString } from 'node:v8';
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
