/** The mailbox that a list is narrowed to. */
import { shellWord } from '../base/shell.ts';
import type { Store } from '../store/types.ts';
import type { Context } from './context.ts';

/**
 * As it is kept. One that is not there is no error, because records and mail of a removed mailbox stay; but it is said, because a
 * mistyped one finds nothing.
 */
export async function mailboxFilter(
  context: Context,
  { store }: { readonly store: Pick<Store, 'mailboxes'> },
  named: string | undefined,
): Promise<string | undefined> {
  const address = named?.toLowerCase();
  if (address !== undefined && !(await store.mailboxes.opened(address)))
    context.say(`there is no mailbox ${shellWord(address)} now; what one of that name left is shown`);
  return address;
}
