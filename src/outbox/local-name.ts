/** Names without a domain in an envelope (`root`, `postmaster`), as programs of this machine write them. */
import { outboxError } from './errors.ts';

export interface LocalNames {
  /** Completes names without a domain (`To: root`); undefined: they stay as they are. */
  readonly localDomain?: string | undefined;
  /** Names of the machine; given for its own programs alone. In lower case. */
  readonly localHosts?: readonly string[] | undefined;
  /** Of an address at `localDomain` that is somebody's. */
  mayBe?: ((address: string) => boolean) | undefined;
}

/**
 * `root` of `root`, and for programs of this machine also of `root@this-machine` and of `root@localDomain` where nobody has that
 * address: they write the same user in all three ways. Undefined for every other address.
 */
export function localName(
  { address, isLocal }: { readonly address: string; readonly isLocal: boolean },
  { localDomain, localHosts, mayBe }: LocalNames,
): string | undefined {
  if (isLocal) return address;
  if (localHosts === undefined) return undefined;
  const at = address.lastIndexOf('@');
  const domain = address.slice(at + 1).toLowerCase();
  const isOurs = localHosts.includes(domain) || (domain === localDomain?.toLowerCase() && mayBe?.(address) === false);
  return isOurs ? address.slice(0, at) : undefined;
}

/** A recipient with its domain. @throws outbox.local-name where none is configured */
export function completeRecipient(address: string, localDomain: string | undefined): string {
  if (address === '' || address.includes('@')) return address;
  if (localDomain !== undefined) return `${address}@${localDomain}`;
  throw outboxError('outbox.local-name', `${shown(address)} has no domain`, { detail: { address: shown(address) } });
}

/**
 * A sender with its domain, or who sends instead where the completed name may not: as in the header, where the name is kept.
 * @throws outbox.local-name where no domain is configured
 */
export function completeSender(
  address: string,
  rules: { readonly localDomain: string | undefined; readonly instead: string; mayBe(address: string): boolean },
): string {
  const whole = completeRecipient(address, rules.localDomain);
  return whole === address || rules.mayBe(whole) ? whole : rules.instead;
}

function shown(text: string): string {
  return text.slice(0, 100).replace(/[^\x21-\x7e]+/g, ' ');
}
