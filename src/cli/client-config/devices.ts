/** Listeners for programs on other machines: printers, scanners, ticket systems. The default ones answer on this machine only. */
import { clash } from '../../base/listen-failure.ts';
import { shellWord } from '../../base/shell.ts';
import type { ListenerConfig } from '../../gateway/types.ts';
import { doorsOf as configuredDoors } from '../../server/config-doors.ts';
import { isLoopback } from '../../server/config-value.ts';
import type { Config } from '../../server/config.ts';
import type { Protocol } from '../../store/protocols.ts';
import type { AppPassword } from '../../store/types-access.ts';
import type { Security } from './settings.ts';

type Facts = Pick<Config, 'console' | 'listeners' | 'outbox'>;

/** The usual ports (RFC 8314 §3, RFC 6409 §3.1, RFC 9051 §2.1, RFC 1939 §3). Printers know STARTTLS for sending most often. */
const USUAL: Readonly<Record<Protocol, Readonly<Record<'tls' | 'starttls', number>>>> = {
  smtp: { starttls: 587, tls: 465 },
  imap: { starttls: 143, tls: 993 },
  pop3: { starttls: 110, tls: 995 },
};
/** Where the usual port is in use by another listener of ours. */
const OTHERWISE = 10_000;

/**
 * The whole list of listeners with which other machines reach every one of these protocols; undefined where they do already.
 * @param security wanted; `plain` is for this machine alone and counts as none
 */
export function plannedListeners(
  config: Facts,
  protocols: readonly Protocol[],
  security: Security | undefined,
): readonly ListenerConfig[] | undefined {
  let { listeners }: { readonly listeners: readonly ListenerConfig[] } = config;
  for (const protocol of protocols) {
    if (listeners.some((one) => one.protocol === protocol && !isLoopback(one.host))) continue;
    const kind = security === 'tls' || security === 'starttls' ? security : protocol === 'smtp' ? 'starttls' : 'tls';
    listeners = withListener({ ...config, listeners: [...listeners] }, protocol, kind);
  }
  return listeners === config.listeners ? undefined : listeners;
}

function withListener(config: Facts, protocol: Protocol, kind: 'tls' | 'starttls'): readonly ListenerConfig[] {
  const usual = USUAL[protocol][kind];
  const on = (port: number): ListenerConfig => ({
    protocol,
    tls: kind === 'tls' ? 'implicit' : 'starttls',
    host: '0.0.0.0',
    port,
  });
  // A listener of the same protocol on loopback makes room: every interface has that address too.
  const kept = config.listeners.filter((one) => one.protocol !== protocol || clash(one, on(usual)) === 'no');
  const doors = configuredDoors({ ...config, listeners: kept });
  const free = [usual, usual + OTHERWISE].find((port) => doors.every((door) => clash(door, on(port)) === 'no'));
  return free === usual ? [...kept, on(usual)] : [...config.listeners, on(free ?? usual + OTHERWISE)];
}

/** A password of a device need not be of use to anybody who reads it off the device. */
export function fromAnywhere({ id, networks }: Pick<AppPassword, 'id' | 'networks'>): readonly string[] {
  if (networks.length > 0) return [];
  return [
    `The app password works from anywhere. For the device alone: postern password revoke ${shellWord(id)}, and make another one with --new-password --network and the device’s address, such as ${A_DEVICE}.`,
  ];
}

/** An address that a device may have; the person puts in the right one. */
export const A_DEVICE = '192.168.1.40/32';
