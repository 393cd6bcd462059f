/** Mailboxes and grants from memory: every message asks for the same few. */
import { foldCase } from '../../base/case.ts';
import type { Clock } from '../../base/clock.ts';
import { remember } from '../../store/remembered.ts';
import type { Store } from '../../store/types.ts';

/** The store with what was found lately found in memory. What is not there is asked for each time. */
export function withKnownRows(store: Store, clock: Clock): { readonly store: Store; stop(): void } {
  const mailboxes = remember(store, clock, 'mailboxes', (address) => store.mailboxes.opened(foldCase(address)));
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
