/** Names without a domain in an envelope (`root`, `postmaster`), as programs of this machine write them. */
import { outboxError } from './errors.ts';

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
