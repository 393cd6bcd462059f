/** To whom nothing is sent. */
import type { Suppression } from '../store/types-api.ts';
import type { Store } from '../store/types.ts';

const WORDS: Readonly<Record<Suppression['reason'], string>> = {
  bounce: 'earlier mail to it came back',
  complaint: 'its owner complained about earlier mail',
  unsubscribe: 'its owner asked for no more mail',
  manual: 'it was blocked here',
};

/** Which of these addresses nothing may be sent to, from this mailbox or at all, with the reason. */
export type Suppressed = (addresses: readonly string[], mailbox?: string) => Promise<ReadonlyMap<string, string>>;

/**
 * Asked for every recipient of every message, where most installations suppress nobody: that the list is empty is remembered
 * until word comes of a change, from another process within two seconds.
 */
export function openSuppressed(store: Pick<Store, 'suppressions' | 'watch'>): Suppressed {
  let isEmpty: boolean | undefined;
  let generation: number | undefined;
  const isNobody = async (): Promise<boolean> => {
    if (generation === undefined) {
      generation = 0;
      store.watch('suppressions', () => {
        generation! += 1;
        isEmpty = undefined;
      });
    }
    if (isEmpty !== undefined) return isEmpty;
    const before = generation;
    const read = (await store.suppressions.list({ limit: 1 })).length === 0;
    // Read before word of a change came, it may be out of date: not remembered, and not relied on.
    if (before === generation) isEmpty = read;
    return isEmpty === true;
  };
  return async (addresses, mailbox = '*') => {
    if (await isNobody()) return NOBODY;
    const found = await store.suppressions.match(mailbox, addresses);
    return new Map(
      found.map(({ address, reason, note }) => [address, note ? `${WORDS[reason]} (${note})` : WORDS[reason]]),
    );
  };
}

const NOBODY: ReadonlyMap<string, string> = new Map();
