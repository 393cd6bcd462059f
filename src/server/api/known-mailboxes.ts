/** Mailboxes from memory: every message asks for the same few. */
import type { Clock } from '../../base/clock.ts';
import type { Mailbox, Store } from '../../store/types.ts';

/** A row is asked for again after this, should word of a change not have come. */
const TRUST_MS = 2000;
const MOST_KNOWN = 10_000;

/** The store with mailboxes found in memory where they were asked for lately. What is not there is asked for each time. */
export function withKnownMailboxes(store: Store, clock: Clock): { readonly store: Store; stop(): void } {
  const known = new Map<string, { readonly row: Mailbox; readonly at: number }>();
  // Grows with each change heard of, so that a row read before it is not kept after it.
  let generation = 0;
  const watch = store.watch('mailboxes', () => {
    generation += 1;
    known.clear();
  });
  const find = async (text: string): Promise<Mailbox | undefined> => {
    const address = text.toLowerCase();
    const found = known.get(address);
    if (found && clock.now() - found.at < TRUST_MS) return found.row;
    const before = generation;
    const row = await store.mailboxes.find(address);
    if (row && before === generation) {
      if (known.size >= MOST_KNOWN) known.clear();
      known.set(address, { row, at: clock.now() });
    }
    return row;
  };
  return { store: { ...store, mailboxes: { ...store.mailboxes, find } }, stop: () => watch.stop() };
}
