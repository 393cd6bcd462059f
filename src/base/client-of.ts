/** Who counts as one where something is counted or remembered for each peer. */
import ipaddr from 'ipaddr.js';

/** What counts as one client: an IPv4 address, or the /64 an IPv6 host can pick addresses from freely. */
export function clientOf(remoteAddress: string): string {
  // Most connections come from an IPv4 address in its usual form, which stands for itself.
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(remoteAddress)) return remoteAddress;
  if (!ipaddr.isValid(remoteAddress)) return remoteAddress;
  const address = ipaddr.process(remoteAddress);
  if (address.kind() === 'ipv4') return address.toString();
  return `${address.toByteArray().slice(0, 8).join('.')}::/64`;
}
