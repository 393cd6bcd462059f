/** What fills the places of a remedy that is about one mailbox at one application. */
import type { Application } from '../../store/types.ts';
import type { Facts } from './diagnose.ts';

/** Everything a remedy may name, as far as it is known; the domain of an address is a name of its organisation's tenant too. */
export function applicationFacts(
  { name, clientId, tenant, settings }: Pick<Application, 'name' | 'clientId' | 'tenant' | 'settings'>,
  address: string,
): Facts & { readonly clientId: string } {
  const { authority } = settings;
  const fromAuthority =
    authority === undefined || !URL.canParse(authority) ? undefined : new URL(authority).pathname.split('/')[1];
  const known = tenant ?? (fromAuthority || undefined) ?? address.slice(address.lastIndexOf('@') + 1);
  return { address, application: name, clientId, tenant: known };
}
