/** One worker as its primary sees it. */
import cluster, { type Worker } from 'node:cluster';
import { atMost, systemClock, type Timer } from '../base/clock.ts';
import type { PosternError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import type { ListenerConfig } from '../gateway/types.ts';
import type { CertificatePair } from '../protocol/tls/server.ts';
import type { Config } from './config.ts';
import { serverError } from './errors.ts';
import type { MetricValues } from './metrics.ts';
import { revive, sendable, type ToPrimary, type ToWorker } from './worker-messages.ts';

export interface SupervisedOptions {
  readonly config: Config;
  readonly listeners: readonly ListenerConfig[];
  readonly certificate: () => CertificatePair;
  readonly log: Log;
}

export interface EndedWorker {
  readonly code: number | null;
  readonly signal: string | null;
  /** What it had counted when it was asked last. */
  readonly values: MetricValues | undefined;
  /** Why it could not start. */
  readonly failure: PosternError | undefined;
}

/** Pings without an answer after which it does not count as working, and after which it is replaced: 4 and 10 seconds. */
const SILENT_PINGS = 2;
const FROZEN_PINGS = 5;
/** Loading its code takes a second, on a busy machine ten. */
const HELLO_MS = 60_000;
/** Monitoring waits no longer for a worker that does not answer. */
const COUNT_MS = 2000;

export class Supervised {
  readonly #worker: Worker;
  readonly #options: SupervisedOptions;
  readonly #started = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<EndedWorker>();
  readonly #hello: Timer;
  #failure: PosternError | undefined;
  #values: MetricValues | undefined;
  #counting: PromiseWithResolvers<void> | undefined;
  /** Pings without an answer. Counted and not timed: a primary that was suspended itself must not blame its workers. */
  #unanswered = 0;
  #awake = false;
  ready = false;
  /** Why it cannot write its log, as far as is known. */
  warnings: readonly string[] = [];
  damage: string | undefined;

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.#worker = cluster.fork();
    this.#hello = systemClock.after(HELLO_MS, () => this.#freeze('did not start'));
    this.#started.promise.catch(() => undefined); // whoever waits for it hears of it
    this.#worker.on('message', (message: ToPrimary) => this.#hear(message));
    this.#worker.once('exit', (code, signal) => this.#exited(code, signal));
    this.#worker.on('error', (error) =>
      options.log.warn({ pid: this.pid, error: error.message }, 'a worker cannot be reached'),
    );
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** Resolves when it serves. Rejects with what it failed with. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** Never rejects. */
  get ended(): Promise<EndedWorker> {
    return this.#ended.promise;
  }

  /** It has not answered lately. */
  get silent(): boolean {
    return this.#unanswered >= SILENT_PINGS;
  }

  send(message: ToWorker): void {
    // A failure is the worker's end, which is heard of.
    if (this.#worker.isConnected()) this.#worker.send(message, undefined, () => undefined);
  }

  ping(): void {
    if (!this.#awake) return;
    if (this.#unanswered >= FROZEN_PINGS) return this.#freeze('does not answer');
    this.#unanswered += 1;
    this.send({ type: 'ping' });
  }

  /** What it has counted; the last that is known when it does not answer in time. */
  async count(): Promise<MetricValues | undefined> {
    if (!this.#awake || this.silent) return this.#values;
    const counting = (this.#counting ??= Promise.withResolvers<void>());
    this.send({ type: 'metrics' });
    await atMost(systemClock, COUNT_MS, counting.promise);
    return this.#values;
  }

  /** Ends it in order, or by force after `ms`. Resolves when it is gone. */
  async stop(ms: number): Promise<void> {
    // Before it has said a word it hears nothing either, and has nothing to end.
    if (this.#awake) this.send({ type: 'stop' });
    else this.kill();
    const late = systemClock.after(ms, () => this.kill());
    await this.ended;
    late.cancel();
  }

  /** Also ends a process that is stopped (SIGSTOP). */
  kill(): void {
    this.#worker.process.kill('SIGKILL');
  }

  #hear(message: ToPrimary): void {
    this.#unanswered = 0;
    switch (message.type) {
      case 'hello': {
        this.#hello.cancel();
        this.#awake = true;
        const { certificate, config, listeners } = this.#options;
        this.send({ type: 'begin', config: sendable(config), listeners, certificate: certificate() });
        return;
      }
      case 'ready':
        this.ready = true;
        this.#started.resolve();
        return;
      case 'failed':
        this.#failure = revive(message.error);
        this.#started.reject(this.#failure);
        return;
      case 'metrics':
        this.#values = message.values;
        this.#counting?.resolve();
        this.#counting = undefined;
        return;
      case 'pong':
        this.warnings = message.warnings;
        this.damage = message.damage;
    }
  }

  #freeze(what: string): void {
    this.#options.log.error({ pid: this.pid }, `a worker ${what}; it is ended and replaced`);
    this.kill();
  }

  #exited(code: number | null, signal: string | null): void {
    this.#hello.cancel();
    this.#awake = this.ready = false;
    this.#counting?.resolve();
    this.#started.reject(
      this.#failure ??
        serverError('server.worker-failed', `a worker ended (${signal ?? `code ${code}`}) before it was ready`),
    );
    this.#ended.resolve({ code, signal, values: this.#values, failure: this.#failure });
  }
}
