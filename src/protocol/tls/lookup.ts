/**
 * Name look-ups with a short memory. The system's resolver keeps none of its own in most installations and blocks a thread of
 * a small pool each time: at a few hundred sign-ins a second it costs more than the TLS handshake.
 */
import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';

/** Shorter than the TTL of any mail provider's records (Exchange Online: 10 s to 5 min), so that a fail-over is seen as soon. */
const KEEP_MS = 10_000;
const MAX_NAMES = 1000;

const known = new Map<string, { readonly addresses: LookupAddress[]; readonly until: number }>();

/** For `net.connect`: all addresses of a name, in the order the system gives them. Failures are not kept. */
export const lookup: LookupFunction = (hostname, options, callback) => {
  const key = `${hostname} ${options.family ?? 0}`;
  const found = known.get(key);
  const answer = (addresses: LookupAddress[]): void => {
    if (options.all === true) callback(null, addresses);
    else callback(null, addresses[0]!.address, addresses[0]!.family);
  };
  if (found && found.until > Date.now()) {
    // Always later, as the system's answer is.
    queueMicrotask(() => answer(found.addresses));
    return;
  }
  systemLookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error || addresses.length === 0) {
      known.delete(key);
      callback(error ?? new Error(`no address for ${hostname}`), []);
      return;
    }
    if (known.size >= MAX_NAMES) known.delete(known.keys().next().value!);
    known.set(key, { addresses, until: Date.now() + KEEP_MS });
    answer(addresses);
  });
};
