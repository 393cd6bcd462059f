/** Files of ours that nobody ever reads half of. */
import { existsSync, linkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { machineError } from '../base/error.ts';
import { giveToOwner } from '../base/owner.ts';
import { serverError } from './errors.ts';

/** A certificate is shown to everybody who connects; only its key is secret. */
export const PUBLIC = 0o644;

/** False when there is one already: another process is making a CA just now, or was ended while it did. */
export function writeOnce(path: string, text: string): boolean {
  if (existsSync(path)) return false;
  const fresh = `${path}.once-${process.pid}`;
  writeWhole(fresh, text);
  try {
    linkSync(fresh, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    // A file system without hard links: nobody is kept away there.
    renameSync(fresh, path);
    return true;
  } finally {
    rmSync(fresh, { force: true });
  }
}

/** In one step, so that a running gateway never reads half a file. @throws server.disk-full, server.home */
export function writeWhole(path: string, text: string, mode = 0o600): void {
  // Of this process alone: two that start together take nothing from each other.
  const fresh = `${path}.new-${process.pid}`;
  try {
    writeFileSync(fresh, text, { mode, flush: true });
    giveToOwner(fresh, path);
    renameSync(fresh, path);
  } catch (cause) {
    const { code = 'unknown reason' } = cause as NodeJS.ErrnoException;
    const ofMachine = machineError(cause, path);
    // What cannot be written cannot be removed either.
    if (code !== 'EROFS') rmSync(fresh, { force: true });
    if (code === 'ENOSPC' || code === 'EDQUOT')
      throw serverError('server.disk-full', `the disk of ${dirname(path)} is full`, { cause });
    throw ofMachine ?? serverError('server.home', `${path} cannot be written (${code})`, { cause });
  }
}
