/** What a database driver throws, as our error. Driver texts are kept as cause; connection strings never appear in them. */
import { accessSync, closeSync, constants, openSync, readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { AGAIN, asError, machineError, type PosternError } from '../base/error.ts';
import { scrub } from '../base/secret.ts';
import { shellWord } from '../base/shell.ts';
import { troubleOf } from '../base/system-failure.ts';
import { storeError } from './errors.ts';

/**
 * Any error thrown by node:sqlite, pg or Kysely as a {@link PosternError}; ours pass unchanged.
 * @param path the SQLite file, where it is known
 */
export function storeFailure(error: unknown, path?: string): PosternError {
  if (!(error instanceof Error)) return asError(error);
  const { errcode, code } = error as { errcode?: unknown; code?: unknown };
  if (typeof errcode === 'number') return sqliteFailure(errcode, error, path);
  if (path !== undefined && troubleOf(error) !== undefined) return fileFailure(error, path);
  if (typeof code === 'string') {
    const known = postgresFailure(code, error);
    if (known) return known;
  }
  if (GONE.test(error.message)) {
    return storeError('store.unavailable', 'the connection to the database was lost', { cause: error });
  }
  return asError(error);
}

/** True for failures that pass by themselves when asked again at once: another writer was faster. */
export function isCollision(error: unknown): boolean {
  const { errcode, code } = error as { errcode?: unknown; code?: unknown };
  return errcode !== undefined ? SQLITE_BUSY.has(Number(errcode) & 0xff) : code === '40001' || code === '40P01';
}

/** Texts of pg and Kysely that carry no code. */
const GONE =
  /connection terminated|timeout expired|timeout exceeded when trying to connect|query read timeout|connection error and is not queryable|received unexpected \w+ message from backend|establishing an SSL connection|client was closed|driver has already been destroyed|database is not open|pool after calling end/i;

/** Primary result codes, https://sqlite.org/rescode.html */
const SQLITE_BUSY = new Set([5, 6]);
const FOREIGN_KEY = 787;

function sqliteFailure(errcode: number, cause: Error, path: string | undefined): PosternError {
  if ((errcode & 0xff) === 19) return conflict(errcode === FOREIGN_KEY, { sqlite: errcode }, cause);
  return troubleOf(cause) === undefined ? asError(cause) : fileFailure(cause, path);
}

/** Trouble with the file of a SQLite database, or with one beside it. */
function fileFailure(cause: Error, path: string | undefined): PosternError {
  const { errcode } = cause as { errcode?: number };
  const detail = { ...(errcode === undefined ? {} : { sqlite: errcode }), ...(path === undefined ? {} : { path }) };
  const file = path === undefined ? 'the database file' : `the database file ${path}`;
  const says = (code: StoreCode, message: string, hint: string): PosternError =>
    storeError(code, message, { hint, detail, cause });
  const readOnly = (): PosternError =>
    says(
      'store.unavailable',
      `${file} cannot be written: its file system is mounted read-only`,
      `find the file system (findmnt -T ${path === undefined ? 'PATH' : shellWord(path)}) and why it is read-only (dmesg: after an error on the disk the kernel makes it so), mount it writable (mount -o remount,rw MOUNTPOINT), ${AGAIN}`,
    );
  const unopened = (): PosternError =>
    says(
      'store.misconfigured',
      `${file} cannot be opened for writing`,
      `give the user Postern runs as the ownership of the database file and its directory: chown USER ${path === undefined ? 'FILE' : shellWord(path)}`,
    );
  const tooLong = (): PosternError =>
    says(
      'store.full',
      `${file} may not grow: files of this process have a limit of their size`,
      `raise it (LimitFSIZE= in the service unit, ulimit -f in the shell that starts it), ${AGAIN}. Nothing was lost`,
    );
  const full = (): PosternError =>
    storeError('store.full', 'the disk of the database is full', {
      // With a path somebody is opening the database: nothing runs yet that could go on.
      ...(path === undefined
        ? {}
        : {
            hint: `make room (df -h ${shellWord(dirname(path))} shows how much there is; quota -s a quota), ${AGAIN}. Nothing was lost`,
          }),
      detail,
      cause,
    });
  switch (troubleOf(cause)) {
    case 'busy':
      return says(
        'store.unavailable',
        'the database is locked by another program',
        'another program holds the database file (a backup or an sqlite3 shell?); let it finish',
      );
    case 'full':
      return full();
    case 'failing':
      // SQLite says the same of a write for which there was no room, where it does not look into why.
      if (isFull(path)) return full();
      if (isLimited(errcode)) return tooLong();
      return says(
        'store.unavailable',
        'the disk of the database failed to read or write',
        `look at the kernel log (dmesg, journalctl -k) and at the disk (smartctl -a DEVICE), ${AGAIN}`,
      );
    case 'read-only':
      return accessOf(path) === 'denied' ? unopened() : readOnly();
    case 'unopened':
      // SQLite says the same of a missing right, a file system that takes nothing, and descriptors that have run out.
      return descriptorsGone(path) ?? (accessOf(path) === 'read-only' ? readOnly() : unopened());
    case 'damaged':
      return says('store.damaged', `${file} is damaged or no database`, restoreHint(path));
    case 'too-long':
      return tooLong();
    case 'descriptors':
    case undefined:
      return machineError(cause, path) ?? asError(cause);
  }
}

/** SQLITE_IOERR_WRITE */
const WRITE_FAILED = 778;

/** SQLite tells no more of a write beyond the limit of a file's size; hardly any process has one (setrlimit(2), RLIMIT_FSIZE). */
function isLimited(errcode: number | undefined): boolean {
  if (errcode !== WRITE_FAILED) return false;
  try {
    return /^Max file size\s+\d/m.test(readFileSync('/proc/self/limits', 'latin1'));
  } catch {
    return false;
  }
}

/** What a database needs to be opened: itself, its log and the shared memory. */
const NEEDED = 3;

/** That no descriptors are left, where that is so. */
function descriptorsGone(path: string | undefined): PosternError | undefined {
  const opened: number[] = [];
  try {
    while (opened.length < NEEDED) opened.push(openSync('/', 'r'));
    return undefined;
  } catch (error) {
    return troubleOf(error) === 'descriptors' ? machineError(error, path) : undefined;
  } finally {
    for (const one of opened) closeSync(one);
  }
}

type StoreCode = Parameters<typeof storeError>[0];

/** What to do with a database that does not open any more. */
function restoreHint(path: string | undefined): string {
  if (path === undefined) return 'stop Postern and restore the last backup: docs/backup.md';
  const [file, aside] = [shellWord(path), shellWord(`${path}.damaged`)];
  return `stop Postern and restore the last backup: mv ${file} ${aside} && rm -f ${shellWord(`${path}-wal`)} ${shellWord(`${path}-shm`)} && cp -p BACKUP/postern.db ${file}, as the user Postern runs as; docs/backup.md has it all`;
}

/** SQLite makes its shared memory longer by 32 KiB at a time, and writes a page and more with every commit. */
const LEAST_OCTETS = 64 * 1024;

/** Whether there is no room where this file is. */
function isFull(path: string | undefined): boolean {
  if (path === undefined) return false;
  try {
    const { bavail, bsize } = statfsSync(dirname(path));
    return bavail * bsize < LEAST_OCTETS;
  } catch {
    return false;
  }
}

/** What the operating system says of writing to this file. */
function accessOf(path: string | undefined): 'denied' | 'read-only' | 'granted' | 'unknown' {
  if (path === undefined) return 'unknown';
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return 'granted';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EROFS' ? 'read-only' : code === 'EACCES' || code === 'EPERM' ? 'denied' : 'unknown';
  }
}

const REFUSED_USER: readonly [StoreCode, string, string] = [
  'store.misconfigured',
  'PostgreSQL refused the user name or password',
  'check user and password in POSTERN_DATABASE_URL, or PGPASSFILE',
];
/** By SQLSTATE (PostgreSQL appendix A). */
const SQLSTATES: Readonly<Record<string, readonly [code: StoreCode, message: string, hint: string]>> = {
  '28P01': REFUSED_USER,
  '28000': REFUSED_USER,
  '3D000': ['store.misconfigured', 'PostgreSQL has no database of that name', 'create it: createdb -O postern postern'],
  '42501': [
    'store.misconfigured',
    'PostgreSQL lets this user not write here',
    'make the user owner of the database: ALTER DATABASE postern OWNER TO postern',
  ],
  '53100': [
    'store.full',
    'the disk of PostgreSQL is full',
    'make room on the disk of the database server; Postern goes on by itself',
  ],
};

/** SQLSTATE classes and Node's network codes. */
function postgresFailure(code: string, cause: Error): PosternError | undefined {
  const detail = { code };
  if (code === '23505' || code === '23503') return conflict(code === '23503', detail, cause);
  const known = SQLSTATES[code];
  if (known) return storeError(known[0], known[1], { hint: known[2], detail, cause });
  if (code === '40001' || code === '40P01') {
    return storeError('store.unavailable', 'two transactions of Postern were in each other’s way in PostgreSQL', {
      hint: 'nothing was changed; it is tried again by itself, and a command can be given again',
      detail,
      cause,
    });
  }
  // 55000: closed for maintenance (ALLOW_CONNECTIONS false); 58: the server's own disk or files.
  if (/^(08|53|55000|55P03|57|58|40|25006)/.test(code)) {
    return storeError('store.unavailable', `PostgreSQL is not available: ${scrub(cause.message)}`, { detail, cause });
  }
  if (/^(E[A-Z]{3,}|CERT_|ERR_TLS|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code)) {
    return storeError('store.unavailable', `PostgreSQL cannot be reached (${code})`, {
      hint: 'check host and port of POSTERN_DATABASE_URL and that PostgreSQL runs: pg_isready',
      detail,
      cause,
    });
  }
  return undefined;
}

function conflict(reference: boolean, detail: Readonly<Record<string, unknown>>, cause: Error): PosternError {
  return reference
    ? storeError('store.conflict', 'another row is missing or still needs this one', {
        hint: 'remove what uses it first (mailboxes before their grant, grants before their application)',
        detail,
        cause,
      })
    : storeError('store.conflict', 'the name is taken', { detail, cause });
}
