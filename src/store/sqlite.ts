/** SQLite by way of node:sqlite: one file, one connection. */
import { closeSync, existsSync, fchmodSync, fstatSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { Kysely, sql, type SqliteDatabase, SqliteDialect } from 'kysely';
import { makeFolder } from '../base/folder.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { PosternError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import { giveToOwner } from '../base/owner.ts';
import { troubleOf } from '../base/system-failure.ts';
import { type Engine, makeEngine, migrate } from './engine.ts';
import { storeError } from './errors.ts';
import { isCollision, storeFailure } from './failure.ts';
import { sqliteTypes } from './migrations.ts';
import { fits, logPages, roomOf, shortText } from './room.ts';
import type { Schema } from './schema.ts';
import type { Topic } from './types.ts';
import { makeWatchers, type Watchers } from './watch.ts';

export interface Opened {
  readonly engine: Engine;
  readonly watchers: Watchers;
  close(): Promise<void>;
}

/**
 * Opens `path` (or `:memory:`), creating and upgrading it as needed. @param committed hears of every change made here, before
 * whoever made it. @throws store.misconfigured, .unavailable, .damaged, .newer
 */
export async function openSqlite(
  path: string,
  clock: Clock,
  log: Log,
  committed?: (topic: Topic) => void,
  damaged?: (error: PosternError) => void,
): Promise<Opened> {
  let file: DatabaseSync | undefined;
  try {
    if (path !== ':memory:') createPrivately(path);
    file = await openFile(path);
    const opened = assemble(file, clock, log, { committed, damaged, path: path === ':memory:' ? undefined : path });
    await opened.engine.db.transaction().execute((trx) => migrate(trx, sqliteTypes, clock.now()));
    opened.look();
    return opened;
  } catch (error) {
    if (file?.isOpen) file.close();
    throw storeFailure(error, path);
  }
}

/** A connection to an upgraded file that others write to. */
export function openSqliteReader(
  path: string,
  clock: Clock,
  log: Log,
  damaged?: (error: PosternError) => void,
): Opened {
  try {
    const opened = assemble(new DatabaseSync(path, { timeout: BUSY_MS, readOnly: true }), clock, log, { damaged });
    opened.look();
    return opened;
  } catch (error) {
    throw storeFailure(error, path);
  }
}

interface Assembly {
  readonly committed?: ((topic: Topic) => void) | undefined;
  readonly damaged?: ((error: PosternError) => void) | undefined;
  /** Of the file, where it is on a disk and written to. */
  readonly path?: string | undefined;
}

/** `look` learns what has changed elsewhere; the tables must be there. */
function assemble(
  file: DatabaseSync,
  clock: Clock,
  log: Log,
  { committed, damaged, path }: Assembly,
): Opened & { readonly look: () => void } {
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: asKyselyWants(file) }) });
  const version = file.prepare('PRAGMA data_version');
  let revisions: StatementSync | undefined;
  let timer: Timer | undefined;
  let lastVersion: unknown;
  const look = (): void => {
    // `data_version` changes when another connection commits; reading it costs no disk access (sqlite.org/pragma.html).
    const now = version.get()?.['data_version'];
    if (now === lastVersion) return;
    lastVersion = now;
    revisions ??= file.prepare('SELECT topic, revision FROM revisions');
    watchers.observed(revisions.all() as { topic: string; revision: number }[]);
  };
  const arm = (): void => {
    timer = clock.after(POLL_MS, () => {
      arm();
      try {
        look();
      } catch (error) {
        log.warn({ err: storeFailure(error) }, 'could not look for changes in the database');
      }
    });
  };
  const watchers = makeWatchers(log, arm, () => timer?.cancel());

  let shrunkAt = -Infinity;
  const admit = async (octets: number): Promise<void> => {
    if (path === undefined || fits(roomOf(path), octets)) return;
    // The log may hold what is in the file already; whoever reads just now keeps it for a moment.
    if (performance.now() - shrunkAt > SHRINK_MS) {
      shrunkAt = performance.now();
      try {
        await sql`PRAGMA wal_checkpoint(TRUNCATE)`.execute(db);
      } catch (error) {
        log.debug({ err: storeFailure(error) }, 'the log of the database could not be made smaller');
      }
    }
    const room = roomOf(path);
    if (!fits(room, octets))
      throw storeError('store.full', `the disk of the database is full: ${shortText(room)}`, {
        hint: 'make room on the disk of the database (df -h shows it); what was accepted is delivered, and new mail is taken when there is room',
      });
  };

  const engine = makeEngine({
    name: 'sqlite',
    admit,
    db,
    leaseTime: () => sql<number>`${clock.now()}`,
    committed: committed ?? watchers.committed,
    damaged,
  });
  return {
    engine,
    watchers,
    look,
    async close() {
      timer?.cancel();
      await db.destroy();
      if (file.isOpen) file.close();
    },
  };
}

/** How often to look for commits of other processes: a quarter of the two seconds {@link Store.watch} promises. */
const POLL_MS = 500;
/** How long a writer waits for another process's transaction; ours take milliseconds. */
const BUSY_MS = 5_000;
/** So long after that a writer who waited in vain is taken at its word. */
const KNOWN_BUSY_MS = 1_000;
/** Making the log smaller waits for readers, at most as long as {@link BUSY_MS}: not for every message. */
const SHRINK_MS = 10_000;
/** Prepared statements kept; the tables need about sixty. */
const STATEMENTS = 200;

/** Makes the file 0600 before SQLite sees it; SQLite gives -wal and -shm the mode of the database file. */
function createPrivately(path: string): void {
  try {
    makeFolder(dirname(path));
    const isNew = !existsSync(path);
    const fd = openSync(path, 'a', 0o600);
    try {
      if ((fstatSync(fd).mode & 0o077) !== 0) fchmodSync(fd, 0o600);
      if (isNew) giveToOwner(path);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    if (troubleOf(cause) !== undefined) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'EISDIR')
      throw storeError('store.misconfigured', `the database file ${path} is a folder`, {
        hint: 'name a file in it: `database` in postern.yaml, or POSTERN_DATABASE_URL',
        cause,
      });
    throw storeError('store.misconfigured', `the database file ${path} cannot be created`, {
      hint: `give the user Postern runs as the directory: chown $(id -un) ${dirname(path)}`,
      cause,
    });
  }
}

/**
 * Pages of the log before they are copied into the file: 16 MB instead of 4, on a small disk less (room.ts). Pages that change
 * again and again are copied less often, which makes taking mail in a tenth faster; reading 16 MB again after a crash takes a few
 * hundredths of a second. A log that grew beyond that is cut back when it begins again.
 */
function logSize(path: string): string {
  if (path === ':memory:') return '';
  const pages = logPages(path);
  return `; PRAGMA wal_autocheckpoint = ${pages}; PRAGMA journal_size_limit = ${pages * PAGE_OCTETS}`;
}
const PAGE_OCTETS = 4096;

async function openFile(path: string): Promise<DatabaseSync> {
  const file = new DatabaseSync(path, { timeout: BUSY_MS, enableForeignKeyConstraints: true });
  for (let attempt = 0; ; attempt++) {
    try {
      // Changing to WAL needs the file alone for a moment and does not always wait by itself.
      file.exec(
        // The first has an effect on a new file only, before anything else: `postern compact` converts an older one.
        `PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON${logSize(path)}`,
      );
      return file;
    } catch (error) {
      if (!isCollision(error) || attempt === 50) {
        file.close();
        throw error;
      }
      // Not by the clock, whose timers let the process end: a command that waits here has nothing else to keep it alive.
      await delay(20 + attempt);
    }
  }
}

/** A full or failing disk makes SQLite roll back by itself; doing so again would fail and hide why (sqlite.org/lang_transaction.html §3). */
const ROLLED_BACK = {
  reader: false,
  all: () => [],
  run: () => ({ changes: 0, lastInsertRowid: 0 }),
  iterate: () => [][Symbol.iterator](),
};

/**
 * Another program has the write lock: whoever waited its time out for it tells those behind, who then try without waiting. Each
 * would otherwise wait as long again, one after the other, and be served long after its own program has given up.
 */
class Patience {
  readonly #file: DatabaseSync;
  #busyAt = -Infinity;
  #waits = true;

  constructor(file: DatabaseSync) {
    this.#file = file;
  }

  run<T>(work: () => T): T {
    const waits = performance.now() - this.#busyAt > KNOWN_BUSY_MS;
    if (waits !== this.#waits) this.#file.exec(`PRAGMA busy_timeout = ${waits ? BUSY_MS : 0}`);
    this.#waits = waits;
    try {
      return work();
    } catch (error) {
      if (isCollision(error) && waits) this.#busyAt = performance.now();
      throw error;
    }
  }
}

/** node:sqlite in the shape Kysely's own SQLite driver expects. */
function asKyselyWants(file: DatabaseSync): SqliteDatabase {
  const patience = new Patience(file);
  const cache = new Map<string, ReturnType<typeof prepared>>();
  return {
    close: () => file.close(),
    prepare(text) {
      if (text === 'rollback' && !file.isTransaction) return ROLLED_BACK;
      const cached = cache.get(text);
      if (cached) return cached;
      // All our transactions write: taking the lock first waits for other writers instead of failing half-way.
      const statement = prepared(
        file.prepare(text === 'begin' ? 'begin immediate' : text),
        text.startsWith('PRAGMA incremental_vacuum'),
        patience,
      );
      if (cache.size >= STATEMENTS) cache.delete(cache.keys().next().value!);
      cache.set(text, statement);
      return statement;
    },
  };
}

/** Asking a statement for its columns costs as much as a small query: once. */
function prepared(statement: StatementSync, isVacuum: boolean, patience: Patience) {
  return {
    // Each page that is given back is a row without columns: it has to be asked for all of them.
    reader: statement.columns().length > 0 || isVacuum,
    all: (values: readonly unknown[]) => patience.run(() => statement.all(...(values as SQLInputValue[]))),
    run: (values: readonly unknown[]) => patience.run(() => statement.run(...(values as SQLInputValue[]))),
    iterate: (values: readonly unknown[]) => statement.iterate(...(values as SQLInputValue[])),
  };
}
