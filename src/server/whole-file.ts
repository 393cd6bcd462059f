/** Files of ours that nobody ever reads half of. */
import { linkSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { machineError } from '../base/error.ts';
import { replaceFile, writeBeside } from '../base/replace-file.ts';
import { moveAway } from '../base/shell.ts';
import { serverError } from './errors.ts';

/** A certificate is shown to everybody who connects; only its key is secret. */
export const PUBLIC = 0o644;

/** False when there is one already: another process is making a CA just now, or was ended while it did. @throws server.disk-full, server.home */
export function writeOnce(path: string, text: string): boolean {
  if (statSync(path, { throwIfNoEntry: false })) return false;
  return told(path, () => {
    const fresh = writeBeside(path, text, 0o600);
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
  });
}

/** In one step, so that a running gateway never reads half a file. @throws server.disk-full, server.home */
export function writeWhole(path: string, text: string, mode = 0o600): void {
  told(path, () => replaceFile(path, text, mode));
}

function told<T>(path: string, write: () => T): T {
  try {
    return write();
  } catch (cause) {
    const { code = 'unknown reason' } = cause as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT')
      throw serverError('server.disk-full', `the disk of ${dirname(path)} is full`, { cause });
    throw (
      machineError(cause, path) ??
      serverError('server.home', `${path} ${WHY[code] ?? `cannot be written (${code})`}`, {
        cause,
        ...(code === 'EISDIR' ? { hint: moveAway(path) } : {}),
      })
    );
  }
}

/** What hinders a file from being written, where the system's word would not be understood. */
const WHY: Readonly<Record<string, string>> = {
  EISDIR: 'is a folder, and a file has to be there',
  ENOTDIR: 'cannot be written: what should be the folder above it is a file',
};
