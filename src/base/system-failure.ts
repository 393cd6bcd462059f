/**
 * What the operating system and SQLite say when disk, file system or descriptors are in trouble, named once for every room:
 * these pass when somebody has looked after the machine, and none of them is a defect or a wrong setting.
 */

/**
 * `full` no room or no quota · `too-long` the file may not grow beyond a limit · `failing` the disk cannot read or write · `read-only` the file system takes nothing ·
 * `descriptors` no file can be opened any more · `damaged` not a database any more · `unopened` SQLite cannot open the file ·
 * `busy` somebody else holds it.
 */
export type Trouble = 'full' | 'too-long' | 'failing' | 'read-only' | 'descriptors' | 'damaged' | 'unopened' | 'busy';

const ERRNO: Readonly<Record<string, Trouble>> = {
  ENOSPC: 'full',
  EDQUOT: 'full',
  EFBIG: 'too-long',
  EIO: 'failing',
  EROFS: 'read-only',
  EMFILE: 'descriptors',
  ENFILE: 'descriptors',
};

/** Primary result codes, https://sqlite.org/rescode.html */
const SQLITE: Readonly<Record<number, Trouble>> = {
  3: 'unopened',
  5: 'busy',
  6: 'busy',
  8: 'read-only',
  10: 'failing',
  11: 'damaged',
  13: 'full',
  14: 'unopened',
  26: 'damaged',
};

/**
 * Extended codes that say more than their primary one: SQLITE_IOERR_SHMSIZE is a -shm file that could not be made longer, which
 * is what a full disk or quota does to whoever opens the database.
 */
const SQLITE_EXTENDED: Readonly<Record<number, Trouble>> = { 4874: 'full' };

/** The trouble a thrown thing tells of, by `errcode` (node:sqlite) or `code` (errno); undefined for anything else. */
export function troubleOf(error: unknown): Trouble | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { errcode, code } = error as { errcode?: unknown; code?: unknown };
  // The extended codes keep the primary one in their lowest eight bits.
  if (typeof errcode === 'number') return SQLITE_EXTENDED[errcode] ?? SQLITE[errcode & 0xff];
  return typeof code === 'string' && Object.hasOwn(ERRNO, code) ? ERRNO[code] : undefined;
}

/** The path an error of the operating system is about, where it names one. */
export function pathOf(error: unknown): string | undefined {
  const { path } = (error ?? {}) as { path?: unknown };
  return typeof path === 'string' ? path : undefined;
}
