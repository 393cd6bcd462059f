/** How many files and sockets this process may have open (`ulimit -n`), so that connections are refused before there are none left. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Log } from '../base/log.ts';
import { defaultLimits } from '../gateway/start.ts';

/**
 * Kept free for the database, token requests, deliveries and whoever asks `/readyz`. Without descriptors the system drops new
 * connections before this process hears of them, and nothing could be logged.
 */
const RESERVE = 40;
/** A session has a socket to the program and one to the provider, and some providers' sessions wait for their next program. */
const PER_CONNECTION = 2.5;
/** As few as this are worth a word at the start, even where the default was not changed. */
const FEW_CONNECTIONS = 500;
/** Below this many free ones the process is not ready for more. */
export const FEW_DESCRIPTORS = 10;

export interface Descriptors {
  readonly limit: number | undefined;
  readonly open: number | undefined;
}

/** Open connections that fit into the limit of open files, `wanted` at most. */
export function connectionsFor(
  wanted: number | undefined,
  log: Log,
  { limit, open }: Descriptors = { limit: descriptorLimit(), open: openDescriptors() },
): number {
  const most = wanted ?? defaultLimits.maxConnections;
  if (limit === undefined || open === undefined) return most;
  const fitting = Math.max(1, Math.floor((limit - open - RESERVE) / PER_CONNECTION));
  if (fitting >= most) return most;
  if (wanted !== undefined || fitting < FEW_CONNECTIONS)
    log.warn(
      {
        limit,
        connections: fitting,
        hint: 'raise the limit of open files: LimitNOFILE=65536 in the unit, or ulimit -n 65536 in the shell that starts it',
      },
      `the limit of open files is ${limit}, so this process takes ${fitting} connections instead of ${most}`,
    );
  return fitting;
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
export function openDescriptors(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}
