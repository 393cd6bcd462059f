/**
 * One `serve` for one SQLite database. The lock is SQLite's own on an empty file beside the database: the system holds it for
 * the process and drops it when the process ends, however it ends, so there is no stale lock and no process id to be mistaken
 * for another's. Several machines share a PostgreSQL database instead.
 */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../base/clock.ts';
import { isError, type PosternError } from '../base/error.ts';
import { makeFolder } from '../base/folder.ts';
import { giveToOwner } from '../base/owner.ts';
import { replaceFile } from '../base/replace-file.ts';
import { troubleOf } from '../base/system-failure.ts';
import { storeFailure } from '../store/failure.ts';
import type { Config } from './config.ts';
import { identityOf, requireOneName } from './database-file.ts';
import { serverError } from './errors.ts';
import { databaseFile } from './installation-mark.ts';
import { accessRefused, isAccessRefused } from './ownership.ts';
import { endedBy } from './part.ts';

/** A process as the system knows it: an id alone may be another's by now. */
export interface KnownProcess {
  readonly pid: number;
  /** Clock ticks from the start of the machine to its own; proc_pid_stat(5). */
  readonly started: string;
}

export interface HomeLock extends AsyncDisposable {
  /** Writes down which workers there are, so that whoever takes the lock next can end those that outlived their primary. */
  note(workers: readonly number[]): void;
  /** Workers of the last holder that still run. */
  readonly leftBehind: readonly number[];
  /** Takes the lock again should its file have been removed or replaced: others lock the file that is there. @throws as takeHomeLock */
  keep(): void;
}

/** How often to look whether the lock is still that of the file: for so long, at most, two may run on one database. */
const LOOK_MS = 2000;

/** @param lost called once, when another process has the lock; while the disk has no room for its file it is tried again */
export function watchHomeLock(lock: HomeLock, clock: Clock, lost: (error: PosternError) => void): AsyncDisposable {
  const look = (): void => {
    timer = clock.after(LOOK_MS, look);
    try {
      lock.keep();
    } catch (error) {
      if (!isError(error, 'server.already-running')) return;
      timer.cancel();
      lost(error);
    }
  };
  let timer = clock.after(LOOK_MS, look);
  return endedBy(() => timer.cancel());
}

/** @throws server.already-running, server.database-names, server.not-yours, server.home, store.*, base.* (trouble of the machine) */
export function takeHomeLock(config: Config): HomeLock | undefined {
  requireOneName(config);
  const path = lockPath(config);
  if (path === undefined) return undefined;
  const runsOn = databaseFile(config) ?? config.home.state;
  let held = lockFile(path, runsOn);
  const leftBehind = (readNote(path)?.workers ?? []).filter(runs).map(({ pid }) => pid);
  const write = (workers: readonly number[]): void => {
    const known = workers.flatMap((pid) => knownProcess(pid) ?? []);
    // Only a convenience: without room for it a frozen worker has to be ended by hand.
    try {
      replaceFile(`${path}.json`, JSON.stringify({ holder: { pid: process.pid }, workers: known }));
    } catch {
      // as said
    }
  };
  write([]);
  return {
    leftBehind,
    note: write,
    keep() {
      if (identityOf(path) === held.identity) return;
      const again = lockFile(path, runsOn);
      held.lock.close();
      held = again;
    },
    async [Symbol.asyncDispose]() {
      remove(`${path}.json`);
      held.lock.close();
    },
  };
}

interface Held {
  readonly lock: DatabaseSync;
  readonly identity: string | undefined;
}

/** @param runsOn the database, for people */
function lockFile(path: string, runsOn: string): Held {
  const lock = openLock(path);
  try {
    // No journal: nothing is ever written, and a full disk must not keep anybody from starting.
    lock.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE');
    return { lock, identity: identityOf(path) };
  } catch (cause) {
    lock.close();
    if (troubleOf(cause) !== 'busy') throw storeFailure(cause, path);
    const holder = readNote(path)?.holder.pid;
    throw serverError(
      'server.already-running',
      `another \`postern serve\`${holder === undefined ? '' : ` (process ${holder})`} runs on ${runsOn}`,
      { detail: { pid: holder ?? null } },
    );
  }
}

/** On a file system that has become read-only it stays, and names processes that no longer run. */
function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // as above
  }
}

function openLock(path: string): DatabaseSync {
  try {
    makeFolder(dirname(path));
    if (!existsSync(path)) {
      closeSync(openSync(path, 'a', 0o600));
      giveToOwner(path);
    }
    return new DatabaseSync(path, { timeout: 0 });
  } catch (cause) {
    if (isAccessRefused(cause)) throw accessRefused(path, cause);
    if (troubleOf(cause) !== undefined) throw storeFailure(cause, path);
    throw serverError('server.home', `the folder ${dirname(path)} cannot be used`, { cause });
  }
}

/** With PostgreSQL two processes of one home are in each other's way only where they want the same ports. */
function lockPath(config: Config): string | undefined {
  const file = databaseFile(config);
  // Beside the file itself: a symbolic link to it is in nobody's way.
  if (file !== undefined) return `${existsSync(file) ? realpathSync(file) : file}.serve`;
  if (config.database.reveal().startsWith('sqlite:')) return undefined;
  const ports = [...config.listeners, config.console]
    .filter(({ port }) => port !== 0)
    .map(({ host, port }) => `${host}:${port}`);
  if (ports.length === 0) return undefined;
  const name = createHash('sha256').update(ports.sort().join(' ')).digest('hex').slice(0, 16);
  return join(config.home.state, `ports-${name}.serve`);
}

interface Note {
  readonly holder: { readonly pid: number };
  readonly workers: readonly KnownProcess[];
}

/** Never the lock file itself: closing it here would drop the lock of this process (fcntl(2), “Record locks”). */
function readNote(path: string): Note | undefined {
  try {
    return JSON.parse(readFileSync(`${path}.json`, 'utf8')) as Note;
  } catch {
    return undefined; // nobody has been here, or the disk was full
  }
}

function knownProcess(pid: number): KnownProcess | undefined {
  try {
    // The name in parentheses may hold spaces; the start time is the twentieth field after it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return started === undefined ? undefined : { pid, started };
  } catch {
    return undefined; // it has ended, or this system has no /proc
  }
}

/** Whether this very process still runs. */
export function runs({ pid, started }: KnownProcess): boolean {
  return knownProcess(pid)?.started === started;
}
