/** How many files and sockets this process may have open (`ulimit -n`), shared out so that connections are refused before there are none left. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Log } from '../base/log.ts';
import { defaultLimits } from '../gateway/start.ts';
import { MAX_DEVICE_CONNECTIONS } from '../outbox/device-listener.ts';
import { HTTP_LIMITS, type HttpLimits } from './http-places.ts';

/**
 * Kept free for the database, token requests, deliveries (50 at a time), webhooks and the log. Without descriptors the system drops
 * new connections before this process hears of them. Where there are few, a third of them.
 */
const OWN = 100;
/**
 * A session has a socket to the program and one to the provider, half as many more sessions at the provider wait for their next program, and
 * for every four connections one that is being refused.
 */
const PER_CONNECTION = 2.75;
/** As few as this are worth a word at the start, even where the default was not changed. */
const FEW_CONNECTIONS = 500;
/** Below this many free ones the process is not ready for more. */
const FEW_DESCRIPTORS = 10;

export interface Descriptors {
  readonly limit: number | undefined;
  readonly open: number | undefined;
}

/** What each listener of this process may have open at the most. */
export interface Shares {
  readonly connections: number;
  readonly console: HttpLimits;
  readonly devices: number;
}

export interface Listeners {
  /** `limits.maxConnections`, where it is set. */
  readonly maxConnections?: number | undefined;
  readonly gateway: boolean;
  readonly console: boolean;
  readonly devices: boolean;
}

/** Shares the limit of open files among all that listens in this process, so that none takes what another one needs. */
export function shareDescriptors(
  { maxConnections, ...has }: Listeners,
  log: Log,
  { limit, open }: Descriptors = { limit: descriptorLimit(), open: openDescriptors() },
): Shares {
  const wanted = maxConnections ?? defaultLimits.maxConnections;
  if (limit === undefined || open === undefined)
    return { connections: wanted, console: HTTP_LIMITS, devices: MAX_DEVICE_CONNECTIONS };
  const free = Math.max(0, limit - open);
  const listeners = free - Math.min(OWN, Math.floor(free / 3));
  const all = HTTP_LIMITS.connections + HTTP_LIMITS.reserve;
  const forConsole = has.console ? Math.min(all, Math.floor(listeners / 4)) : 0;
  const devices = has.devices ? Math.max(1, Math.min(MAX_DEVICE_CONNECTIONS, Math.floor(listeners / 8))) : 0;
  const fitting = Math.max(1, Math.floor((listeners - forConsole - devices) / PER_CONNECTION));
  const connections = Math.min(wanted, fitting);
  if (has.gateway && fitting < wanted && (maxConnections !== undefined || fitting < FEW_CONNECTIONS))
    log.warn(
      {
        limit,
        connections,
        console: forConsole,
        ...(has.devices ? { devices } : {}),
        hint: 'raise the limit of open files: LimitNOFILE=65536 in the unit, or ulimit -n 65536 in the shell that starts it',
      },
      `the limit of open files is ${limit}, so this process takes ${fitting} connections instead of ${wanted}`,
    );
  return { connections, console: forConsole < all ? consoleLimits(forConsole) : HTTP_LIMITS, devices };
}

/** In the proportions of {@link HTTP_LIMITS}; one connection and one question about health have a place in any case. */
function consoleLimits(places: number): HttpLimits {
  const reserve = Math.max(1, Math.min(HTTP_LIMITS.reserve, Math.floor(places / 4)));
  const connections = Math.max(1, places - reserve);
  return {
    connections,
    reserve,
    waitingPerAddress: Math.max(1, Math.min(HTTP_LIMITS.waitingPerAddress, Math.ceil(connections / 2))),
  };
}

/** The soft limit; undefined where the system does not say it in /proc (proc_pid_limits(5)) or there is none. */
export function descriptorLimit(): number | undefined {
  try {
    const row = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
    return row === null ? undefined : Number(row[1]);
  } catch {
    return undefined;
  }
}

/** Undefined where they cannot be counted: also when there is none left to look with. */
function openDescriptors(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}

/** Says in plain words that hardly any are left; undefined while there are enough. @param limit as this process began */
export function descriptorProblem(limit: number | undefined, open = openDescriptors()): string | undefined {
  if (limit === undefined || (open !== undefined && limit - open >= FEW_DESCRIPTORS)) return undefined;
  return `hardly any file descriptors are free: ${open ?? limit} of ${limit} are in use (ulimit -n)`;
}
