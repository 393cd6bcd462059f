/** Finding what a person named. */
import { shellWord } from '../base/shell.ts';
import type { Instance } from '../server/instance.ts';
import type { Application, Mailbox, Store } from '../store/types.ts';
import { cliError } from './errors.ts';

/** What opens an address: its own mailbox, or that of `*@domain`. @throws cli.not-found */
export async function findOpened({ store }: Instance, address: string): Promise<Mailbox> {
  return (await store.mailboxes.opened(address)) ?? findMailbox({ store }, address);
}

/** The mailbox of this very address, which can be changed. @throws cli.not-found */
export async function findMailbox({ store }: Pick<Instance, 'store'>, address: string): Promise<Mailbox> {
  const found = await store.mailboxes.find(address.toLowerCase());
  if (found) return found;
  const { catchAll } = (await store.mailboxes.opened(address)) ?? {};
  if (catchAll !== undefined)
    throw cliError('cli.not-found', `${address} has no mailbox of its own; ${catchAll} opens it`, {
      hint: `name that: ${shellWord(catchAll)}`,
    });
  const known = (await store.mailboxes.list()).map((one) => one.address);
  throw cliError('cli.not-found', `there is no mailbox ${address}`, {
    hint:
      known.length === 0
        ? `add it: postern mailbox add ${shellWord(address)}`
        : `there are: ${known.slice(0, 10).join(', ')}; add it: postern mailbox add ${shellWord(address)}`,
  });
}

/** @throws cli.not-found */
export async function findApplication(store: Store, name: string): Promise<Application> {
  const found = (await store.applications.byName(name)) ?? (await store.applications.find(name));
  if (found) return found;
  const known = (await store.applications.list()).map((one) => one.name);
  throw cliError('cli.not-found', `there is no provider called ${name}`, {
    hint: known.length === 0 ? 'add one: postern provider add --help' : `there are: ${known.join(', ')}`,
  });
}
