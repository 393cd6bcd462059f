/** A worker's process: carries mail until the primary says stop, or is gone. */
import { systemClock } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import { replyTo } from '../base/replies.ts';
import { GivenCertificate } from './certificate-in-use.ts';
import type { ServerLog } from './log.ts';
import { type RunningParts, startParts } from './part.ts';
import { PARTS } from './parts.ts';
import { Running } from './running.ts';
import { received, type ToPrimary, type ToWorker } from './worker-messages.ts';

/** @param open makes the log, as the primary's configuration says */
export function work(open: (config: Running['config']) => ServerLog): void {
  const worker = new WorkerProcess(open);
  // What the primary says is heard before it knows of us: a stop in the first moment counts like any other.
  process.on('message', (message: ToWorker) => worker.hear(message));
  tell({ type: 'hello' });
}

function tell(message: ToPrimary): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined); // gone: then we go, too
}

class WorkerProcess {
  readonly #open: (config: Running['config']) => ServerLog;
  #running: Running | undefined;
  #certificate: GivenCertificate | undefined;
  #started: Promise<RunningParts> | undefined;
  #stopping = false;

  constructor(open: (config: Running['config']) => ServerLog) {
    this.#open = open;
  }

  hear(message: ToWorker): void {
    switch (message.type) {
      case 'begin':
        void this.#begin(message);
        return;
      case 'certificate':
        this.#certificate?.replace(message.certificate);
        return;
      case 'ping':
        tell({ type: 'pong', warnings: this.#running?.warnings() ?? [], damage: this.#running?.damage });
        return;
      case 'metrics':
        void this.#running?.metrics.registry.getMetricsAsJSON().then((values) => tell({ type: 'metrics', values }));
        return;
      case 'stop':
        void this.#stop(0);
    }
  }

  async #begin({ config: sent, listeners, certificate }: Extract<ToWorker, { type: 'begin' }>): Promise<void> {
    if (this.#stopping) return;
    const config = received(sent);
    const log = this.#open(config);
    this.#certificate = new GivenCertificate(certificate);
    const running = new Running({
      role: 'worker',
      config,
      log,
      clock: systemClock,
      reread: () => config,
      certificate: this.#certificate,
      listeners,
    });
    this.#running = running;
    try {
      this.#started = startParts(PARTS, 'worker', running, { log });
      await this.#started;
      running.phase = 'running';
      tell({ type: 'ready' });
      void running.lost.then((error) => {
        log.error({ error }, 'this worker cannot go on; another one takes its place');
        return this.#stop(replyTo(error).exit);
      });
    } catch (error) {
      const failure = asError(error);
      tell({ type: 'failed', error: failure.toJSON() });
      log.flush();
      process.exitCode = replyTo(failure).exit;
      process.disconnect();
    }
  }

  async #stop(code: number): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    if (this.#running) this.#running.phase = 'stopping';
    try {
      await (await this.#started)?.stop();
    } catch {
      // It did not start, which it has told.
    }
    this.#running?.log.flush();
    process.exit(code);
  }
}
