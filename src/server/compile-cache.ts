/** Compiled code is kept on disk, so that the next start does not compile it again: a tenth of the time of a start. */
import { lstatSync, mkdirSync } from 'node:fs';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/**
 * Call before anything else is loaded. Where nothing can be kept, starts are as slow as without. NODE_COMPILE_CACHE and
 * NODE_DISABLE_COMPILE_CACHE, where set, decide instead (Node's documentation of `module.enableCompileCache`).
 * @see XDG Base Directory Specification 0.8; `CacheDirectory=` in systemd.exec(5)
 */
export function keepCompiledCode(env: Readonly<Record<string, string | undefined>>): void {
  if (env['NODE_COMPILE_CACHE']) return;
  const home = env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache');
  // systemd names several folders with colons between them; the unit asks for one.
  const folder = env['CACHE_DIRECTORY']?.split(':')[0] || join(home, 'postern');
  if (isOursAlone(folder)) enableCompileCache(join(folder, 'compiled'));
}

/** Writes down what was compiled until now, in a process that does not end by itself. */
export function writeCompiledCode(): void {
  flushCompileCache();
}

/** Code is taken from there, so nobody else may be able to write to it. */
function isOursAlone(folder: string): boolean {
  try {
    // No deeper: a home that does not exist (`/nonexistent` of system users) is not made here.
    make(dirname(folder));
    make(folder);
    const found = lstatSync(folder);
    return found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0;
  } catch {
    return false; // a file system that is read only, no home: an expected place to run
  }
}

function make(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
