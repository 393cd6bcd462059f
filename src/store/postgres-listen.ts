/** Hearing of other machines' changes: LISTEN for speed, the revisions table so that nothing is missed. */
import pg from 'pg';
import { backoffMs } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { storeFailure } from './failure.ts';
import type { Watchers } from './watch.ts';

export const NOTIFY_CHANNEL = 'postern_changed';

/**
 * Keeps one connection listening until stopped. Revisions are read after every (re)connect and once a second besides: that
 * bounds the delay when a notification is lost and finds a connection that died without telling.
 */
export function listen(config: pg.ClientConfig, clock: Clock, log: Log, watchers: Watchers): { stop(): void } {
  let client: pg.Client | undefined;
  let timer: Timer | undefined;
  let stopped = false;
  let failures = 0;

  /** Reads one after the other: a connection has one query at a time, and a hundred changes that come together are read once. */
  const reader = (from: pg.Client): (() => Promise<void>) => {
    let running: Promise<void> | undefined;
    let again = false;
    const run = async (): Promise<void> => {
      try {
        while (again) {
          again = false;
          const { rows } = await from.query<{ topic: string; revision: number }>(
            'SELECT topic, revision FROM revisions',
          );
          if (!stopped && client === from) watchers.observed(rows);
        }
      } finally {
        running = undefined;
      }
    };
    return () => {
      again = true;
      running ??= run();
      return running;
    };
  };
  const lost = (from: pg.Client, error: unknown): void => {
    if (client !== from) return;
    client = undefined;
    timer?.cancel();
    void from
      .end()
      .catch((cause: unknown) => log.debug({ err: storeFailure(cause) }, 'closing a lost connection failed'));
    if (stopped) return;
    log.warn({ err: storeFailure(error) }, 'stopped hearing of database changes; connecting again');
    timer = clock.after(backoffMs(failures++, { baseMs: 250, maxMs: 5_000 }), connect);
  };
  const beat = (from: pg.Client, read: () => Promise<void>): void => {
    timer = clock.after(BEAT_MS, () => {
      read().then(
        () => {
          if (!stopped && client === from) beat(from, read);
        },
        (error: unknown) => lost(from, error),
      );
    });
  };
  const connect = (): void => {
    const own = new pg.Client({ ...config, query_timeout: 5_000 });
    const read = reader(own);
    client = own;
    own.on('error', (error) => lost(own, error));
    own.on('end', () => lost(own, new Error('connection terminated')));
    own.on('notification', () => {
      read().catch((error: unknown) => lost(own, error));
    });
    own
      .connect()
      .then(() => own.query(`LISTEN ${NOTIFY_CHANNEL}`))
      .then(read)
      .then(
        () => {
          failures = 0;
          if (!stopped && client === own) beat(own, read);
        },
        (error: unknown) => lost(own, error),
      );
  };
  connect();

  return {
    stop() {
      stopped = true;
      timer?.cancel();
      if (client) lost(client, undefined);
    },
  };
}

const BEAT_MS = 1_000;
