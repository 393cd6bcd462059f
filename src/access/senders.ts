/** As whom a mailbox may send. */
import { foldCase } from '../base/case.ts';
import type { Mailbox } from '../store/types.ts';

/** The mailbox itself and the addresses declared for it: `postern mailbox set ADDRESS --send-as OTHER`. */
export function sendersOf({ address, settings }: Pick<Mailbox, 'address' | 'settings'>): readonly string[] {
  return [address, ...(settings.sendAs ?? [])];
}

/** Case does not count, as everywhere in practice; what is another character to a mail server is one here. */
export function maySendAs(mailbox: Pick<Mailbox, 'address' | 'settings'>, address: string): boolean {
  const wanted = foldCase(address);
  return sendersOf(mailbox).some((one) => foldCase(one) === wanted);
}
