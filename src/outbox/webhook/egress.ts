/**
 * Where webhooks may go. Whoever holds an API key names the address, so without this a key would open the network Postern
 * stands in: metadata services, databases, Postern's own console (server-side request forgery). Names are resolved here and
 * the connection goes to the very address that was judged, so that a name cannot change its meaning in between.
 */
import { lookup as systemLookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';
import type { Agent } from 'undici';
import { outboxError } from '../errors.ts';

export interface EgressPolicy {
  /** Networks (CIDR) that are meant although they are not public; plain http is allowed to them as well. */
  readonly allow: readonly string[];
}

export type Resolve = (host: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;

const CONNECT_MS = 10_000;

/** By IANA's registry these are public, yet they lead to the host or the cloud that this machine runs in, and nowhere else. */
const OF_CLOUDS = [
  // Azure: the host's agent, which gives certificates and settings to whoever asks.
  '168.63.129.16/32',
  // IBM Cloud: services inside of it.
  '161.26.0.0/16',
  '166.8.0.0/14',
].map((network) => ipaddr.IPv4.parseCIDR(network));

/** Below 1024 are services of the system; no web server for others but that of https is there. */
const HTTPS_PORT = 443;
const FIRST_FREE_PORT = 1024;

/** What a connection says of where it goes, beside the address. */
interface Manner {
  /** Without TLS. */
  readonly isPlain: boolean;
  readonly port: number;
}

export class Egress {
  readonly #allow: readonly (readonly [ipaddr.IPv4 | ipaddr.IPv6, number])[];
  readonly #resolve: Resolve;
  readonly #own: () => readonly string[];

  /** @param own addresses of this machine, asked for each time because they change */
  constructor(
    policy: EgressPolicy,
    resolve: Resolve = (host) => systemLookup(host, { all: true }),
    own: () => readonly string[] = ownAddresses,
  ) {
    this.#allow = policy.allow.map((network) => ipaddr.parseCIDR(network));
    this.#resolve = resolve;
    this.#own = own;
  }

  /** Checks what can be known without asking the DNS. @throws outbox.webhook-address */
  check(text: string): URL {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:'))
      throw outboxError('outbox.webhook-address', `${text.slice(0, 100)} is no https address`);
    if (url.username !== '' || url.password !== '')
      throw outboxError('outbox.webhook-address', 'the address of a webhook must not hold a user name or password');
    if (url.hash !== '') throw outboxError('outbox.webhook-address', 'the address of a webhook has no #fragment');
    // A plain address may be meant for a name inside an allowed network; where it leads is seen when it is resolved.
    if (url.protocol === 'http:' && this.#allow.length === 0)
      throw outboxError('outbox.webhook-address', 'webhooks go by https', {
        hint: 'use an https address, or name the private network the receiver is in: webhooks.allow in postern.yaml',
      });
    const host = literalOf(url);
    const manner = mannerOf(url);
    if (host !== undefined) this.#judge(host, manner);
    else if (this.#allow.length === 0) requirePort(manner.port, url.hostname);
    return url;
  }

  /** An agent whose connections go only where they may, for one protocol. The HTTP client is loaded with the first one. */
  async agent(protocol: 'http:' | 'https:'): Promise<Agent> {
    const undici = await import('undici');
    // oxlint-disable promise/no-callback-in-promise -- Node's sockets take a callback here
    const lookup =
      (port: number): LookupFunction =>
      (host, options, done) => {
        this.#addresses(host, { isPlain: protocol === 'http:', port }).then(
          (addresses) => {
            const family = options.family === 4 || options.family === 6 ? options.family : undefined;
            const usable = addresses.filter((one) => family === undefined || one.family === family);
            if (options.all === true) done(null, [...usable]);
            else if (usable[0]) done(null, usable[0].address, usable[0].family);
            else done(Object.assign(new Error(`${host} has no address of this family`), { code: 'ENOTFOUND' }), '');
          },
          (error: unknown) => done(error as Error, ''),
        );
      };
    // oxlint-enable promise/no-callback-in-promise
    const connectors = new Map<number, ReturnType<typeof undici.buildConnector>>();
    return new undici.Agent({
      connect(options, callback) {
        const port = portOf(options.port, protocol);
        // One for each port, since each remembers TLS sessions.
        const connector = connectors.get(port) ?? undici.buildConnector({ lookup: lookup(port), timeout: CONNECT_MS });
        connectors.set(port, connector);
        connector(options, callback);
      },
      pipelining: 1,
    });
  }

  /** All addresses of a name, every one of which must be allowed. @throws outbox.webhook-address, or what the DNS says */
  async #addresses(
    host: string,
    manner: Manner,
  ): Promise<readonly { readonly address: string; readonly family: number }[]> {
    const found = await this.#resolve(host);
    for (const { address } of found) this.#judge(address, manner);
    return found;
  }

  #judge(text: string, { isPlain, port }: Manner): void {
    const address = embedded(ipaddr.process(text));
    const isAllowed = this.#allow.some(
      ([base, length]) => base.kind() === address.kind() && address.match(base, length),
    );
    if (isAllowed) return;
    const found = address.range();
    const range = found === 'unicast' && !isGlobal(address) ? 'reserved' : found;
    if (!isIPv6(address) && OF_CLOUDS.some((network) => address.match(network)))
      throw outboxError('outbox.webhook-address', `webhooks do not go to ${text}, which is inside a cloud only`, {
        detail: { range: 'cloud' },
      });
    if (range !== 'unicast')
      throw outboxError('outbox.webhook-address', `webhooks do not go to ${text}, an address of the range ${range}`, {
        detail: { range },
      });
    // What listens here may trust whoever comes from here: a public address of this machine is as loopback.
    if (this.#own().some((own) => ipaddr.isValid(own) && isSame(ipaddr.process(own), address)))
      throw outboxError('outbox.webhook-address', `webhooks do not go to ${text}, an address of this machine`, {
        detail: { range: 'own' },
      });
    if (isPlain) throw outboxError('outbox.webhook-address', `webhooks to ${text} go by https`);
    requirePort(port, text);
  }
}

function requirePort(port: number, host: string): void {
  if (port === HTTPS_PORT || port >= FIRST_FREE_PORT) return;
  throw outboxError('outbox.webhook-address', `webhooks to ${host} do not go to port ${port}`, {
    hint: `use port ${HTTPS_PORT}, or one from ${FIRST_FREE_PORT} on; or name the private network the receiver is in: webhooks.allow in postern.yaml`,
  });
}

const mannerOf = ({ protocol, port }: URL): Manner => ({ isPlain: protocol === 'http:', port: portOf(port, protocol) });

function portOf(port: string, protocol: string): number {
  return port === '' ? (protocol === 'http:' ? 80 : HTTPS_PORT) : Number(port);
}

/**
 * IPv4 addresses inside IPv6 ones are judged as what they lead to: mapped (RFC 4291 §2.5.5.2), compatible (§2.5.5.1), translated
 * (RFC 2765 §2.1), NAT64 (RFC 6052 §2.1), 6to4 (RFC 3056 §2), ISATAP (RFC 5214 §6.1).
 */
function embedded(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  if (!isIPv6(address)) return address;
  const octets = address.toByteArray();
  const { parts } = address;
  const starts = (...groups: readonly number[]): boolean => groups.every((group, at) => parts[at] === group);
  if (starts(0x2002)) return new ipaddr.IPv4(octets.slice(2, 6));
  const isInside =
    // `::` and `::1` are addresses of their own, and every other one below a million is as unreal.
    (starts(0, 0, 0, 0, 0, 0) && parts[6] !== 0) ||
    starts(0, 0, 0, 0, 0, 0xffff) ||
    starts(0, 0, 0, 0, 0xffff, 0) ||
    starts(0x64, 0xff9b, 0, 0, 0, 0) ||
    ((parts[4]! | 0x0200) === 0x0200 && parts[5] === 0x5efe);
  return isInside ? new ipaddr.IPv4(octets.slice(12)) : address;
}

/** What addresses of the Internet begin with (RFC 4291 §2.4): the rest of the space is given to nobody, or means something else. */
function isGlobal(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return !isIPv6(address) || address.parts[0]! >> 13 === 1;
}

function isSame(a: ipaddr.IPv4 | ipaddr.IPv6, b: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return Buffer.from(a.toByteArray()).equals(Buffer.from(b.toByteArray()));
}

function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address) ?? []);
}

function isIPv6(address: ipaddr.IPv4 | ipaddr.IPv6): address is ipaddr.IPv6 {
  return address.kind() === 'ipv6';
}

/** A connection to a literal address resolves nothing, so it has to be judged beforehand. */
function literalOf(url: URL): string | undefined {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return isIP(host) === 0 ? undefined : host;
}
