/** Whether the database file is still the one that is open: what is written to one that was deleted or replaced is lost. */
import { statSync } from 'node:fs';
import type { Config } from './config.ts';
import { serverError } from './errors.ts';
import { databaseFile } from './installation-mark.ts';

export interface DatabaseInPlace {
  /** What became of the file, in plain words; undefined while it is in its place. One stat(2). */
  gone(): string | undefined;
  /** @throws server.database-gone */
  confirm(): void;
}

/** To be called when the database has just been opened. Of PostgreSQL there is no file to look at. */
export function watchDatabaseFile(config: Pick<Config, 'database'>): DatabaseInPlace {
  const file = databaseFile(config);
  const identity = file === undefined ? undefined : identityOf(file);
  const gone = (): string | undefined => {
    if (file === undefined) return undefined;
    const now = identityOf(file);
    if (now === identity) return undefined;
    return now === undefined
      ? `the database file ${file} was deleted`
      : `the database file ${file} was replaced by another`;
  };
  return {
    gone,
    confirm() {
      const what = gone();
      if (what !== undefined) throw serverError('server.database-gone', `${what}; what is written now would be lost`);
    },
  };
}

function identityOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}`;
}
