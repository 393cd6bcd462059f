/** Mailboxes and grants from memory: every message asks for the same few. */
import type { Clock } from '../../base/clock.ts';
import type { Store, Topic } from '../../store/types.ts';

/** A row is asked for again after this, should word of a change not have come. */
const TRUST_MS = 2000;
const MAX_KNOWN = 10_000;

/** The store with what was found lately found in memory. What is not there is asked for each time. */
export function withKnownRows(store: Store, clock: Clock): { readonly store: Store; stop(): void } {
  const mailboxes = remember(store, clock, 'mailboxes', (address) => store.mailboxes.opened(address.toLowerCase()));
  const grants = remember(store, clock, 'grants', (id) => store.grants.find(id));
  return {
    store: {
      ...store,
      mailboxes: { ...store.mailboxes, opened: mailboxes.find },
      grants: { ...store.grants, find: grants.find },
    },
    stop() {
      mailboxes.stop();
      grants.stop();
    },
  };
}

function remember<Row>(
  store: Store,
  clock: Clock,
  topic: Topic,
  ask: (name: string) => Promise<Row | undefined>,
): { find(name: string): Promise<Row | undefined>; stop(): void } {
  const known = new Map<string, { readonly row: Row; readonly at: number }>();
  // Grows with each change heard of, so that a row read before it is not kept after it.
  let generation = 0;
  const watch = store.watch(topic, () => {
    generation += 1;
    known.clear();
  });
  return {
    async find(name) {
      const found = known.get(name);
      if (found && clock.now() - found.at < TRUST_MS) return found.row;
      const before = generation;
      const row = await ask(name);
      if (row && before === generation) {
        if (known.size >= MAX_KNOWN) known.clear();
        known.set(name, { row, at: clock.now() });
      }
      return row;
    },
    stop: () => watch.stop(),
  };
}
