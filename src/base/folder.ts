/** Making a folder with all above it. */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/** Makes what is missing. @param mode of the folders that are made @throws the system's error, as it is */
export function makeFolder(path: string, mode = 0o700): void {
  try {
    mkdirSync(path, { recursive: true, mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    // Node says so of a file system that is mounted read-only as well; the first missing folder, made alone, tells which it is.
    let first = path;
    while (dirname(first) !== first && !existsSync(dirname(first))) first = dirname(first);
    mkdirSync(first, { mode });
    mkdirSync(path, { recursive: true, mode });
  }
}
