/** `postern serve`: one process, or a primary that supervises workers; until it is told to stop. */
import { type Clock, systemClock } from '../base/clock.ts';
import { isError, PosternError } from '../base/error.ts';
import type { ListenerConfig } from '../gateway/types.ts';
import type { Config } from './config.ts';
import { sayDifference } from './config-difference.ts';
import { requireInitialised } from './instance.ts';
import type { ServerLog } from './log.ts';
import { startParts } from './part.ts';
import { PARTS } from './parts.ts';
import { Running } from './running.ts';

export interface Serving {
  /** Where the gateway really listens. */
  readonly listeners: readonly ListenerConfig[];
  readonly consolePort: number;
  /** Where devices may come in without signing in. */
  readonly devicePort: number | undefined;
  /** Resolves when it cannot go on: it is to be stopped, and the process to end with the code of this failure. */
  readonly lost: Promise<PosternError>;
  /** Reads the certificate files again, and says what has changed and what needs a restart. */
  reload(): void;
  /** Orderly stop: no new connections, idle sessions end at once, work under way gets its time, audit flushed. */
  stop(): Promise<void>;
}

export interface ServeOptions {
  /** The system's unless given. */
  readonly clock?: Clock;
  /** The configuration as its file is now. */
  readonly reread?: () => Config;
  /** Aborted when it is to stop before it serves: what has started is ended, and {@link serve} throws the reason. */
  readonly signal?: AbortSignal;
}

/**
 * All or nothing: when a part cannot start, those before it are ended.
 * @throws server.*, gateway.*, vault.*, store.*, outbox.device-port, the signal's reason
 */
export async function serve(config: Config, log: ServerLog, options: ServeOptions = {}): Promise<Serving> {
  const { clock = systemClock, reread = () => config, signal } = options;
  await requireInitialised(config);
  const role = config.workers > 1 ? 'primary' : 'single';
  const running = new Running({ role, config, log, clock, reread, ...(signal && { unwanted: signal }) });
  const parts = await startParts(PARTS, role, running, { log, ...(signal && { signal }) }).catch((error: unknown) => {
    throw asStartFailure(error);
  });
  running.phase = 'running';
  return {
    listeners: running.listeners,
    consolePort: running.consolePort,
    devicePort: running.devices?.port,
    lost: running.lost,
    reload: () => reload(running),
    async stop() {
      running.phase = 'stopping';
      log.info({ sessions: running.sessions() }, 'stopping: idle sessions end now, work under way gets its time');
      await parts.stop();
      log.info({}, 'stopped');
      log.flush();
    },
  };
}

function reload({ config, log, reread, watched }: Running): void {
  const looked = watched?.look() ?? 'unchanged';
  const certificate = isError(looked)
    ? `the certificate files cannot be used, the certificate from before stays: ${looked.message}`
    : looked === 'replaced'
      ? 'the certificate was replaced'
      : 'the certificate is the same';
  (isError(looked) ? log.warn : log.info)(isError(looked) ? { hint: looked.hint } : {}, `reloaded: ${certificate}`);
  sayDifference({ config, log, reread }, 'say-none');
}

/** Rooms below say that they go on by themselves; a start that failed does not. */
function asStartFailure(error: unknown): unknown {
  if (!(error instanceof PosternError) || error.code !== 'store.full') return error;
  const { code, kind, message, detail, cause } = error;
  const hint =
    'make room on the disk of the database (df -h shows it), then start Postern again; a service manager does so by itself. Nothing was lost';
  return new PosternError(code, { kind, hint }, message, { detail, cause });
}
