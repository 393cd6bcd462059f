/** Who asks. What a proxy says of its client counts only when the proxy is one that was named. */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { TLSSocket } from 'node:tls';
import ipaddr from 'ipaddr.js';
import { isWithin } from '../../access/network.ts';
import type { Peer } from './request.ts';

/** Stands for a client whose address a proxy did not say in a way that can be read: in no network, on no machine. */
const UNKNOWN = 'unknown';

/** @param proxies CIDR blocks of those that are trusted */
export function peerOf(
  { socket, headers }: Pick<IncomingMessage, 'socket' | 'headers'>,
  proxies: readonly string[],
): Peer {
  const remote = socket.remoteAddress ?? '';
  const isTls = socket instanceof TLSSocket;
  if (proxies.length === 0 || !isWithin(remote, proxies))
    return { address: remote, isPrivate: isTls || isLoopback(remote) };
  const client = clientOf([headers['x-forwarded-for'] ?? []].flat().join(','), proxies) ?? remote;
  const isHttps = [headers['x-forwarded-proto'] ?? ''].flat().at(-1)?.trim().toLowerCase() === 'https';
  return { address: client, isPrivate: isHttps || isLoopback(client) };
}

/**
 * Each proxy adds whom it saw at the end; the first from there that is no proxy of ours is the client. What stands further left
 * it may have written itself, so a hop that cannot be read ends the search. Undefined: nothing but proxies of ours, or nothing.
 */
function clientOf(forwarded: string, proxies: readonly string[]): string | undefined {
  if (forwarded.trim() === '') return undefined;
  for (const hop of forwarded.split(',').toReversed()) {
    const address = addressOf(hop.trim());
    if (address === undefined) return UNKNOWN;
    if (!isWithin(address, proxies)) return address;
  }
  return undefined;
}

/** `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`, also in quotation marks (RFC 7239 §6). */
function addressOf(hop: string): string | undefined {
  const bare = /^"(.*)"$/.exec(hop)?.[1] ?? hop;
  const address = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(bare)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(bare)?.[1] ?? bare;
  return isIP(address) === 0 ? undefined : address;
}

export function isLoopback(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'loopback';
}
