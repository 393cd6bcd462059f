/** Rows from memory that are asked for again and again, for as long as they cannot have changed. */
import type { Clock } from '../base/clock.ts';
import type { Store, Topic } from './types.ts';

/** A row is asked for again after this, should word of a change not have come. */
const TRUST_MS = 2000;
const MAX_KNOWN = 10_000;

export interface Remembered<Row, Asked = string> {
  /** As it is now; word of a change comes at once, from another process within two seconds. @throws store.unavailable */
  find(asked: Asked): Promise<Row | undefined>;
  stop(): void;
}

/** What is not there is asked for each time. @param nameOf under which name an answer is kept, for `trustMs` at most */
export function remember<Row, Asked = string>(
  store: Pick<Store, 'watch'>,
  clock: Clock,
  topic: Topic,
  ask: (asked: Asked) => Promise<Row | undefined>,
  {
    nameOf = String,
    trustMs = TRUST_MS,
  }: { readonly nameOf?: (asked: Asked) => string; readonly trustMs?: number } = {},
): Remembered<Row, Asked> {
  const known = new Map<string, { readonly row: Row; readonly at: number }>();
  // Grows with each change heard of, so that a row read before it is not kept after it.
  let generation = 0;
  const watch = store.watch(topic, () => {
    generation += 1;
    known.clear();
  });
  return {
    async find(asked) {
      const name = nameOf(asked);
      const found = known.get(name);
      if (found && clock.now() - found.at < trustMs) return found.row;
      const before = generation;
      const row = await ask(asked);
      if (row && before === generation) {
        if (known.size >= MAX_KNOWN) known.clear();
        known.set(name, { row, at: clock.now() });
      }
      return row;
    },
    stop: () => watch.stop(),
  };
}
