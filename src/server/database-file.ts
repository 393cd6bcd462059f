/** Whether the database file is still the one that is open: what is written to one that was deleted or replaced is lost. */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { shellWord } from '../base/shell.ts';
import type { Config } from './config.ts';
import { serverError } from './errors.ts';
import { databaseFile } from './installation-mark.ts';

export interface DatabaseInPlace {
  /** What became of the file, in plain words; undefined while it is in its place. One stat(2). */
  gone(): string | undefined;
  /** @throws server.database-gone; of an instance also store.damaged, once damage was found */
  confirm(): void;
}

/** What SQLite keeps beside a database that is open: what was committed last, and who reads where (https://sqlite.org/wal.html §2.2). */
const BESIDE = ['', '-wal', '-shm'];

/** To be called when the database has just been opened. Of PostgreSQL there is no file to look at. */
export function watchDatabaseFile(config: Pick<Config, 'database'>): DatabaseInPlace {
  const database = databaseFile(config);
  const files = database === undefined ? [] : BESIDE.map((end) => `${database}${end}`);
  const identities = new Map(files.map((file) => [file, identityOf(file)]));
  const goneOf = (file: string): string | undefined => {
    const [before, now] = [identities.get(file), identityOf(file)];
    if (now === before) return undefined;
    // The first write makes what stands beside it.
    if (before === undefined) return void identities.set(file, now);
    const name = file === database ? 'the database file' : 'a file of the open database,';
    return now === undefined ? `${name} ${file} was deleted` : `${name} ${file} was replaced by another`;
  };
  const gone = (): string | undefined => {
    for (const file of files) {
      const what = goneOf(file);
      if (what !== undefined) return what;
    }
    return undefined;
  };
  return {
    gone,
    confirm() {
      const what = gone();
      if (what !== undefined) throw serverError('server.database-gone', `${what}; what is written now would be lost`);
    },
  };
}

/**
 * SQLite keeps what was committed last in files beside the database, under its name: two names are two such files, and whoever
 * goes by one name damages what the other wrote. A symbolic link is no name of its own; a hard link is, and so is a mount of
 * the file alone.
 * @throws server.database-names
 */
export function requireOneName(config: Pick<Config, 'database'>): void {
  const file = databaseFile(config);
  const stat = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false });
  if (file === undefined || !stat) return;
  const path = realpathSync(file);
  const quoted = shellWord(path);
  if (stat.nlink > 1)
    throw serverError('server.database-names', `the database file ${path} has ${stat.nlink} names (hard links)`, {
      hint: `stop every Postern that uses one of them (find / -xdev -samefile ${quoted} lists them), then make the name you keep the only one: rm OTHER_NAME`,
      detail: { path, names: stat.nlink },
    });
  if (isMountPoint(path))
    throw serverError('server.database-names', `the database file ${path} is mounted by itself, without its folder`, {
      hint: `stop every Postern that uses it, then mount the folder that holds it instead of the file (umount ${quoted}; of a container: change the volume from the file to its folder)`,
      detail: { path },
    });
}

/** proc_pid_mountinfo(5): the fifth field is the mount point, with octal escapes. Elsewhere there is no way to tell. */
function isMountPoint(path: string): boolean {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .some((line) => unescaped(line.split(' ')[4] ?? '') === path);
  } catch {
    return false;
  }
}

function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

export function identityOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}`;
}
