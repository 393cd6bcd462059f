/** What a mail program has to be told to come in by this gateway: from the configured listeners, the safest first. */
import { hostname as machineName } from 'node:os';
import type { ListenerConfig } from '../../gateway/types.ts';
import type { Config } from '../../server/config.ts';
import { isEveryInterface, isLoopback } from '../../server/config-value.ts';
import { PROTOCOLS, type Protocol } from '../../store/protocols.ts';
import { cliError } from '../errors.ts';

/** `plain` only on this machine. */
export type Security = 'tls' | 'starttls' | 'plain';

export interface Door {
  readonly host: string;
  readonly port: number;
  readonly security: Security;
}

export interface ClientSettings {
  readonly address: string;
  /** An app password, or the placeholder. */
  readonly password: string;
  readonly imap: Door | undefined;
  readonly pop3: Door | undefined;
  readonly smtp: Door | undefined;
  /** The whole list to write where the program reaches none of the listeners that there are. */
  readonly planned?: readonly ListenerConfig[] | undefined;
  /** PEM file of the local CA; undefined when the certificate is one that systems trust. */
  readonly ca: string | undefined;
}

export const PLACEHOLDER = 'APP_PASSWORD';

export interface DoorOptions {
  /** Undefined: the safest that there is. */
  readonly security?: Security | undefined;
  /** Name that programs use for this machine. */
  readonly host?: string | undefined;
  /** Only these, when the program cannot do others. */
  readonly can?: readonly Security[] | undefined;
  /** The program is on another machine: listeners on loopback are none for it. */
  readonly elsewhere?: boolean | undefined;
}

/** The certificate of an operator is for names, ours for every address that is listened on as well. */
export type DoorFacts = Pick<Config, 'listeners' | 'hostname' | 'tls'>;

/** @throws cli.usage when a port is only known at start, or no listener has the wanted security */
export function doorsOf(config: DoorFacts, options: DoorOptions = {}): Record<Protocol, Door | undefined> {
  const doors = Object.fromEntries(PROTOCOLS.map((protocol) => [protocol, doorOf(config, protocol, options)]));
  const { imap, pop3, smtp } = doors;
  return { imap, pop3, smtp };
}

const RANK: readonly Security[] = ['tls', 'starttls', 'plain'];

function doorOf(
  { listeners, hostname, tls }: DoorFacts,
  protocol: Protocol,
  { security, host, can = RANK, elsewhere = false }: DoorOptions,
): Door | undefined {
  const all = listeners.filter((one) => one.protocol === protocol);
  const beyond = all.filter((one) => !isLoopback(one.host));
  const own = elsewhere ? beyond : all;
  if (own.length === 0) return undefined;
  // Whoever gives a name of this machine means what is reached by it.
  for (const group of isElsewhere(host) ? [beyond, own] : [own])
    for (const wanted of security === undefined ? RANK : [security]) {
      const found = can.includes(wanted) ? group.find((one) => offers(one, wanted)) : undefined;
      if (!found) continue;
      if (found.port === 0) {
        throw cliError('cli.usage', `the ${protocol} port is chosen again at each start`, {
          hint: 'give the listener a fixed port in postern.yaml',
        });
      }
      return { host: host ?? nameOf(found, hostname, tls === undefined), port: found.port, security: wanted };
    }
  const where = elsewhere ? ' beyond this machine' : '';
  throw cliError('cli.usage', `no ${protocol} listener${where} offers ${security ?? can.join(' or ')}`, {
    hint: 'choose another --security, or add a listener to postern.yaml',
  });
}

/** A name by which another machine would come. */
export const isElsewhere = (host: string | undefined): host is string => host !== undefined && !isLoopback(host);

/** A listener without encryption of its own offers STARTTLS all the same. */
function offers({ tls }: ListenerConfig, wanted: Security): boolean {
  if (wanted === 'tls') return tls === 'implicit';
  if (wanted === 'starttls') return tls !== 'implicit';
  return tls === 'none';
}

/**
 * A name under which the listener answers and that its certificate has. `localhost` is 127.0.0.1 and ::1 and no other address.
 * @param own the certificate is of the local CA: it has the address of each listener
 */
function nameOf({ host }: ListenerConfig, hostname: string | undefined, own: boolean): string {
  if (host === 'localhost' || host === '127.0.0.1' || host === '::1') return 'localhost';
  if (isEveryInterface(host)) return hostname ?? machineName();
  return own || isLoopback(host) ? host : (hostname ?? host);
}

/** As it stands in URLs: RFC 3986 §3.2.2 puts IPv6 addresses into brackets. */
export function inUrl({ host, port }: Pick<Door, 'host' | 'port'>): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

export interface ClientConfig {
  /** Where it belongs; undefined for dialogues. */
  readonly file: string | undefined;
  readonly lines: readonly string[];
  /** Besides the file: what to do first, what to know. */
  readonly notes: readonly string[];
}
