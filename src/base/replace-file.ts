/** Replacing a file in one step: nobody ever reads half of it, whatever ends the process. */
import { createHash, randomBytes } from 'node:crypto';
import { readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { giveToOwner } from './owner.ts';

/** Where a process id means the same process as here: two containers on one folder often have the same ids. */
export const MACHINE = createHash('sha256').update(`${hostname()} ${pidSpace()}`).digest('hex').slice(0, 6);

function pidSpace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return ''; // a system without /proc
  }
}

/**
 * A name beside `path` for one use: nobody can guess it or has it already, in this process or another. What is left under it after a
 * crash is found by `vault/leftovers.ts`.
 */
export function nameBeside(path: string, why: 'new' | 'empty'): string {
  return `${path}.${why}-${process.pid}-${MACHINE}${randomBytes(6).toString('hex')}`;
}

/** Writes a file that is made here and nowhere else. The caller renames, links or removes it. @throws the system's error, as it is */
export function writeBeside(path: string, text: string, mode: number): string {
  const fresh = nameBeside(path, 'new');
  try {
    writeFileSync(fresh, text, { mode, flag: 'wx', flush: true });
    giveToOwner(fresh, path);
    return fresh;
  } catch (error) {
    removeQuietly(fresh);
    throw error;
  }
}

/** Puts a file in place with this mode, the one that is there replaced. @throws the system's error, as it is */
export function replaceFile(path: string, text: string, mode = 0o600): void {
  const fresh = writeBeside(path, text, mode);
  try {
    renameSync(fresh, path);
  } catch (error) {
    removeQuietly(fresh);
    throw error;
  }
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What cannot be written cannot be removed either (a read-only file system).
  }
}
