/** Networks an app password may be used from: CIDR blocks of both families (RFC 4632, RFC 4291 §2.3). */
import ipaddr from 'ipaddr.js';
import { accessError } from './errors.ts';

/** Checks and normalises `192.168.1.0/24`, `2001:db8::/32`, or one address. @throws access.network */
export function readNetwork(text: string): string {
  const trimmed = text.trim();
  try {
    if (!trimmed.includes('/')) {
      const address = ipaddr.process(trimmed);
      return `${address.toString()}/${address.kind() === 'ipv4' ? 32 : 128}`;
    }
    const [address, length] = ipaddr.parseCIDR(trimmed);
    // IPv4 written as IPv6 (RFC 4291 §2.5.5.2) is kept as IPv4, which is how clients are seen.
    if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && length >= 96)
      return `${address.toIPv4Address().toString()}/${length - 96}`;
    return `${address.toString()}/${length}`;
  } catch (cause) {
    throw accessError('access.network', `${trimmed} is not a network`, { cause });
  }
}

/** True when `remoteAddress` lies in one of `networks`; an empty list is everywhere. IPv4 seen as IPv6 counts as IPv4. */
export function isWithin(remoteAddress: string, networks: readonly string[]): boolean {
  if (networks.length === 0) return true;
  if (!ipaddr.isValid(remoteAddress)) return false;
  const address = ipaddr.process(remoteAddress);
  return networks.some((network) => {
    const [base, length] = ipaddr.parseCIDR(network);
    return base.kind() === address.kind() && address.match(base, length);
  });
}

/** What counts as one client: an IPv4 address, or the /64 an IPv6 host can pick addresses from freely. */
export function clientOf(remoteAddress: string): string {
  // Most connections come from an IPv4 address in its usual form, which stands for itself.
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(remoteAddress)) return remoteAddress;
  if (!ipaddr.isValid(remoteAddress)) return remoteAddress;
  const address = ipaddr.process(remoteAddress);
  if (address.kind() === 'ipv4') return address.toString();
  return `${address.toByteArray().slice(0, 8).join('.')}::/64`;
}
