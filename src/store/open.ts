/** The way in: one URL, one store, whichever database is behind it. */
import { type Clock, systemClock } from '../base/clock.ts';
import type { PosternError } from '../base/error.ts';
import { type Log, nullLog } from '../base/log.ts';
import { storeError } from './errors.ts';
import { type Opened, openSqlite } from './sqlite.ts';
import { openSqliteThread } from './sqlite-thread.ts';
import { pingOn, type Tables, tablesOn } from './tables.ts';
import type { Store } from './types.ts';
import { dropWriter } from './writer-thread.ts';

export interface StoreOptions {
  readonly clock?: Clock;
  readonly log?: Log;
  /**
   * Who writes to a SQLite file: the calling thread, which waits for the disk at every commit, or a thread for that alone, at
   * some 10 MiB and some hundred milliseconds of loading. PostgreSQL and `:memory:` take no notice.
   */
  readonly writer?: 'here' | 'thread';
  /** Called when the thread that writes has ended unasked: nothing can be written any more in this process. */
  readonly lost?: (error: PosternError) => void;
  /** Called whenever something in the database turns out to be damaged. */
  readonly damaged?: (error: PosternError) => void;
}

/**
 * Opens `sqlite:/path/file.db`, `sqlite::memory:` or `postgres://user@host/name`, creating and upgrading tables as needed;
 * any number of processes may do so at once. @throws store.misconfigured, store.unavailable, store.newer, store.damaged
 */
export async function openStore(url: string, options: StoreOptions = {}): Promise<Store> {
  const { engine, tables, watchers, close } = await open(url, options);
  return {
    engine: engine.name,
    ...tables,
    watch: (topic, changed) => watchers.add(topic, changed),
    ping: () => pingOn(engine),
    close,
  };
}

async function open(url: string, options: StoreOptions): Promise<Opened & { readonly tables: Tables }> {
  const { clock = systemClock, log = nullLog, writer = 'here' } = options;
  if (url.startsWith('sqlite:')) {
    const path = url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '');
    if (writer === 'thread' && path !== ':memory:')
      return openSqliteThread(path, clock, log, options.lost, options.damaged);
    await dropWriter();
    return withTables(await openSqlite(path, clock, log, undefined, options.damaged));
  }
  if (/^postgres(ql)?:\/\//.test(url)) {
    await dropWriter();
    const { openPostgres } = await import('./postgres.ts');
    return withTables(await openPostgres(url, clock, log));
  }
  // What was given may hold a password, so only its beginning up to the first colon is shown.
  throw storeError('store.misconfigured', `no database of type "${url.split(':')[0]!.slice(0, 20)}" is known`);
}

const withTables = (opened: Opened) => ({ ...opened, tables: tablesOn(opened.engine) });
