/** Networks an app password may be used from: CIDR blocks of both families (RFC 4632, RFC 4291 §2.3). */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { accessError } from './errors.ts';

/**
 * Checks and normalises `192.168.1.0/24`, `2001:db8::/32`, or one address.
 * @throws access.network; its `hint` names the network that was probably meant, where something looks like one
 */
export function readNetwork(text: string): string {
  const trimmed = text.trim();
  const read = networkOf(trimmed);
  if (typeof read === 'string') return read;
  const { problem, hint } = read;
  throw accessError('access.network', `${trimmed} is not a network${problem}`, hint === undefined ? {} : { hint });
}

/**
 * The same as a value. Strict, because a lenient reader takes `10.1/16` for 10.0.0.0/16, `010.0.0.1` for 8.0.0.1, and lets in whom
 * nobody meant: four decimal numbers without leading zeros, or an IPv6 address without a zone, and no bit set behind the length.
 */
export function networkOf(text: string): string | { readonly problem: string; readonly hint?: string } {
  const [address = '', bits, ...more] = text.split('/');
  const isCut = bits !== undefined && (!/^(?:0|[1-9]\d{0,2})$/.test(bits) || more.length > 0);
  if (isIP(address) === 0 || address.includes('%') || isCut) return { problem: '' };
  const whole = ipaddr.parse(address);
  const length = bits === undefined ? whole.toByteArray().length * 8 : Number(bits);
  if (length > whole.toByteArray().length * 8) return { problem: '' };
  const kind = whole instanceof ipaddr.IPv4 ? ipaddr.IPv4 : ipaddr.IPv6;
  const first = kind.networkAddressFromCIDR(`${whole.toString()}/${length}`);
  if (!isSame(first, whole))
    return {
      problem: `: ${address} is within ${first.toString()}/${length}, not its beginning`,
      hint: `for all of it write ${first.toString()}/${length}, for this address alone ${address}`,
    };
  // IPv4 written as IPv6 (RFC 4291 §2.5.5.2) is kept as IPv4, which is how clients are seen.
  if (whole instanceof ipaddr.IPv6 && whole.isIPv4MappedAddress() && length >= 96)
    return `${whole.toIPv4Address().toString()}/${length - 96}`;
  return `${whole.toString()}/${length}`;
}

function isSame(a: ipaddr.IPv4 | ipaddr.IPv6, b: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return Buffer.from(a.toByteArray()).equals(Buffer.from(b.toByteArray()));
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
