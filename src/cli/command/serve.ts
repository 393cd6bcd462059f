/** `postern serve`: the gateway until it is told to stop. */
import { leftOutText } from '../../server/config-listeners.ts';
import type { Config } from '../../server/config.ts';
import { openLog, type ServerLog } from '../../server/log.ts';
import { serve as serveHere, type Serving } from '../../server/serve.ts';
import { work } from '../../server/worker.ts';
import { asError, baseError } from '../../base/error.ts';
import { writeCompiledCode } from '../../server/compile-cache.ts';
import { ofInstallation } from '../command-name.ts';
import type { Context } from '../context.ts';
import { takeSignals } from '../early-signals.ts';
import { Subcommand } from '../subcommand.ts';
import { between } from '../value.ts';

export function serve(): Subcommand {
  return new Subcommand('serve', 'run the gateway, metrics and health until stopped')
    .option(
      '--workers <n>',
      'processes that share the ports (default: workers in postern.yaml, else 1)',
      between(1, 64),
    )
    .remark(
      'Signals: TERM and INT stop in order (idle sessions end, work under way gets time), a second INT stops at once; HUP reads the certificate again and says which settings need a restart.',
    )
    .example('postern serve --workers 2')
    .run(async (context, options: { workers?: number }) => {
      const read = (): Config => {
        const base = context.config();
        return { ...base, workers: options.workers ?? base.workers };
      };
      const config = read();
      const log = context.serverLog(config);
      // Mail does not depend on whether anybody reads where it listens.
      process.stdout.removeAllListeners('error').on('error', ({ message }: Error) => {
        log.warn({ error: message }, 'standard output cannot be written; Postern goes on without');
      });
      const early = new EarlyStop(log);
      const serving = await serveHere(config, log, { reread: read, signal: early.signal }).catch((error: unknown) => {
        if (early.signal.aborted) return undefined;
        early.end();
        throw error;
      });
      early.end();
      if (serving === undefined) {
        log.info({}, 'stopped before it served');
        log.flush();
        return;
      }
      // Before anybody is told that it serves: who reads that may send a signal.
      const stopped = untilStopped(serving, log);
      if (early.reloads) serving.reload();
      announce(context, serving, log, config);
      writeCompiledCode(); // a process that is killed would leave nothing for its next start
      await stopped;
    });
}

/** The body of a worker process; `main.ts` calls it. */
export function runWorker(): void {
  // Their failures are nobody's: the log writes by itself and counts what it loses.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  // The terminal sends Ctrl-C to workers too, and HUP when it closes; the primary tells them what to do.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  takeSignals();
  work((config) => {
    const log = openLog(config.log, undefined, ofInstallation(config));
    guard(log);
    return log;
  });
}

function announce(context: Context, serving: Serving, log: ServerLog, { listeners: configured }: Config): void {
  for (const { protocol, tls, host, port } of serving.listeners) log.info({ protocol, tls, host, port }, 'listening');
  const missing = leftOutText(configured);
  if (missing !== undefined) log.info({}, missing);
  log.info({ port: serving.consolePort }, 'console ready: /metrics, /healthz, /readyz');
  if (context.json) {
    const listeners = serving.listeners.map(({ protocol, tls, host, port }) => ({ protocol, tls, host, port }));
    const devices = serving.devicePort === undefined ? {} : { devices: { port: serving.devicePort } };
    context.result({ listeners, console: { port: serving.consolePort }, ...devices, pid: process.pid }, []);
  }
}

/**
 * Signals while it starts: what has started is ended in order, and the exit code is 0, as after any stop that was asked for. The
 * system's own answer to them would leave work behind and look like a crash.
 */
class EarlyStop {
  readonly #stop = new AbortController();
  readonly #log: ServerLog;
  #since = 0;
  /** HUP came: what was read before may be old. */
  reloads = false;

  constructor(log: ServerLog) {
    this.#log = log;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, this.#asked);
    process.on('SIGHUP', this.#reload);
    for (const signal of takeSignals()) (signal === 'SIGHUP' ? this.#reload : this.#asked)();
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** From here on somebody else listens. */
  end(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.#asked);
    process.off('SIGHUP', this.#reload);
  }

  readonly #asked = (): void => {
    if (this.signal.aborted) {
      if (Date.now() - this.#since < SAME_SIGNAL_MS) return;
      this.#log.warn({}, 'stopped at once on request');
      this.#log.flush();
      process.exit(130);
    }
    this.#since = Date.now();
    this.#log.info({}, 'asked to stop while starting: what has started ends');
    this.#stop.abort(baseError('base.aborted', 'asked to stop while starting'));
  };

  readonly #reload = (): void => void (this.reloads = true);
}

/** Two Ctrl-C within this time are one: a launcher passes on the signal that the terminal has already sent to everybody. */
const SAME_SIGNAL_MS = 1000;

/** @throws what makes going on impossible, after an orderly stop: the exit code says whether a restart may help */
export async function untilStopped(
  serving: Pick<Serving, 'stop' | 'reload'> & Partial<Pick<Serving, 'lost'>>,
  log: ServerLog,
): Promise<void> {
  guard(log);
  process.on('SIGHUP', () => serving.reload());
  await new Promise<void>((resolve, reject) => {
    let asked: number | undefined;
    const stop = (): void => {
      if (asked !== undefined) {
        if (Date.now() - asked < SAME_SIGNAL_MS) return;
        log.warn({}, 'stopped at once on request');
        log.flush();
        process.exit(130);
      }
      asked = Date.now();
      serving.stop().then(resolve, reject);
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
    void serving.lost?.then((error) => {
      if (asked !== undefined) return;
      asked = Date.now();
      log.error({ code: error.code, hint: error.hint }, `this process cannot go on: ${error.message}`);
      return serving.stop().then(() => reject(error), reject);
    });
  });
}

/** A defect must not leave a half-working server: it is logged, scrubbed, and the process ends for its supervisor to restart. */
function guard(log: ServerLog): void {
  const crash = (error: unknown): void => {
    log.error({ error: asError(error) }, 'unexpected failure, the process ends');
    log.flush();
    process.exit(70);
  };
  process.removeAllListeners('uncaughtException').on('uncaughtException', crash);
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', crash);
}
