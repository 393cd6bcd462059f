/** Entries that several processes count in: read, changed, and written back if nobody was faster. */
import type { OutboxTable } from './types-outbox.ts';

export type Ledger = Pick<OutboxTable, 'entry' | 'swapEntry'>;

/**
 * Gives `work` the entry, undefined the first time, and writes what it makes of it; when another process changed the entry
 * meanwhile, `work` is asked again. Within this process whoever comes first is served first. @throws store.unavailable
 */
export function inLedger<T>(
  table: Ledger,
  name: string,
  work: (entry: string | undefined) => { readonly entry: string; readonly result: T },
): Promise<T> {
  const names = turns.get(table) ?? new Map<string, Promise<unknown>>();
  turns.set(table, names);
  const mine = (names.get(name) ?? Promise.resolve()).then(() => swapUntilDone(table, name, work));
  // The next in line waits for the end, whichever it is; the failure itself is for who asked.
  const turn = mine.then(
    () => undefined,
    () => undefined,
  );
  names.set(name, turn);
  void turn.then(() => {
    if (names.get(name) === turn) names.delete(name);
  });
  return mine;
}

/** The last in line, by table and entry. */
const turns = new WeakMap<Ledger, Map<string, Promise<unknown>>>();

async function swapUntilDone<T>(
  table: Ledger,
  name: string,
  work: (entry: string | undefined) => { readonly entry: string; readonly result: T },
): Promise<T> {
  for (;;) {
    const before = await table.entry(name);
    const { entry, result } = work(before);
    if (entry === before || (await table.swapEntry(name, before, entry))) return result;
  }
}
