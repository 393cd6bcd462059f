/**
 * Several processes on the same ports. The primary claims the ports, starts the workers with its own settings, replaces those
 * that end or freeze, keeps what they have counted, and carries no mail itself. Each worker has a store connection and a token
 * cache of its own; leases in the store keep their renewals from colliding.
 */
import cluster from 'node:cluster';
import type { AddressInfo, Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '../base/backoff.ts';
import { systemClock, type Timer } from '../base/clock.ts';
import { asError, isError, type PosternError } from '../base/error.ts';
import { listen } from '../gateway/listener.ts';
import type { ListenerConfig } from '../gateway/types.ts';
import { sayDifference } from './config-difference.ts';
import { serverError } from './errors.ts';
import { addUp, EndedCounts } from './metrics.ts';
import { drainTime, type Running, type Workers } from './running.ts';
import { Supervised } from './supervised.ts';

/** A worker that lives shorter than this counts as failing again. */
const STABLE_MS = 30_000;
const RESTART = { baseMs: 500, maxMs: 30_000 };
/** How often workers are asked whether they are alive. */
const PING_MS = 2000;
/** Every so many pings their counts are fetched, for the case that they die. */
const PINGS_PER_COUNT = 5;
/** Without any worker for so many pings, a minute, only a new start can help. */
const PINGS_UNTIL_LOST = 30;
/** Workers that outlived their primary end by themselves at once, unless they are frozen. */
const LEFT_BEHIND_MS = 2000;

/** Claims the ports and starts all workers, or none. @throws gateway.*, server.worker-failed, what a worker fails with, and why the start is unwanted */
export async function startWorkers(running: Running): Promise<Workers> {
  await endLeftBehind(running);
  running.listeners = await claim(running.config.listeners);
  cluster.setupPrimary({ serialization: 'advanced' });
  const pool = new Pool(running);
  try {
    const unwanted = new Promise<never>((_, reject) => {
      running.unwanted.addEventListener('abort', () => reject(asError(running.unwanted.reason)), { once: true });
    });
    await Promise.race([pool.start(), unwanted]);
  } catch (error) {
    await pool[Symbol.asyncDispose]();
    throw error;
  }
  return pool;
}

class Pool implements Workers {
  readonly #running: Running;
  readonly #all = new Set<Supervised>();
  readonly #restarts = new Set<Timer>();
  readonly #ended = new EndedCounts();
  readonly #certificates: { stop(): void };
  #adding: Promise<void> = Promise.resolve();
  #stopping = false;
  #pings = 0;
  #withoutAny = 0;
  #damage: string | undefined;
  #lastFailure: PosternError | undefined;
  #timer: Timer;
  /** Workers must not outlive this process, whatever ends it. */
  readonly #onExit = (): void => {
    for (const worker of this.#all) worker.kill();
  };

  constructor(running: Running) {
    this.#running = running;
    this.#timer = systemClock.after(PING_MS, this.#tick);
    this.#certificates = running.certificate.onChange(() => {
      for (const worker of this.#all) worker.send({ type: 'certificate', certificate: running.certificate.current });
    });
    process.once('exit', this.#onExit);
  }

  async start(): Promise<void> {
    await Promise.all(Array.from({ length: this.#running.config.workers }, () => this.#add(0)));
  }

  problems(): readonly string[] {
    const { workers } = this.#running.config;
    const answering = [...this.#all].filter(({ ready, silent }) => ready && !silent).length;
    return answering < workers ? [`${workers - answering} of ${workers} workers are down or do not answer`] : [];
  }

  damage(): string | undefined {
    // A worker that has ended since has told it.
    for (const { damage } of this.#all) this.#damage ??= damage;
    return this.#damage;
  }

  warnings(): readonly string[] {
    return [...this.#all].flatMap(({ warnings }) => warnings);
  }

  async metrics(): Promise<string> {
    const own = this.#running.metrics.registry.getMetricsAsJSON();
    const values = await Promise.all([own, ...[...this.#all].map((worker) => worker.count())]);
    await this.#adding;
    return addUp([...values, this.#ended.values].filter((some) => some !== undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    for (const restart of this.#restarts) restart.cancel();
    this.#certificates.stop();
    // Pings go on: a worker that does not answer is not waited for.
    const enough = drainTime(this.#running);
    await Promise.all([...this.#all].map((worker) => worker.stop(enough)));
    this.#timer.cancel();
    process.off('exit', this.#onExit);
  }

  /** Resolves when it is ready. @throws what it failed with */
  async #add(attempt: number): Promise<void> {
    const { config, certificate, listeners, log } = this.#running;
    const since = performance.now();
    const worker = new Supervised({ config, listeners, certificate: () => certificate.current, log });
    this.#all.add(worker);
    this.#note();
    void worker.ended.then(({ code, signal, values, failure }) => {
      this.#all.delete(worker);
      this.#note();
      if (values)
        this.#adding = this.#adding
          .then(() => this.#ended.add(values))
          .catch((error: unknown) => log.error({ error }, 'counts of a worker were lost'));
      if (this.#stopping) return;
      this.#lastFailure =
        failure ?? serverError('server.worker-failed', `a worker ended (${signal ?? `code ${code}`})`);
      const tries = performance.now() - since > STABLE_MS ? 0 : attempt + 1;
      const wait = backoffMs(tries, RESTART);
      log.error({ pid: worker.pid, code, signal, wait }, 'a worker ended; its sessions are lost, a new one is started');
      const restart = systemClock.after(wait, () => {
        this.#restarts.delete(restart);
        sayDifference(this.#running);
        this.#add(tries).catch((error: unknown) => {
          const { code, hint, message } = asError(error);
          log.error({ code, hint }, `a worker could not be started: ${message}`);
        });
      });
      this.#restarts.add(restart);
    });
    await worker.started;
  }

  #note(): void {
    this.#running.lock?.note([...this.#all].flatMap(({ pid }) => pid ?? []));
  }

  readonly #tick = (): void => {
    this.#timer = systemClock.after(PING_MS, this.#tick);
    this.#pings += 1;
    for (const worker of this.#all) {
      worker.ping();
      if (this.#pings % PINGS_PER_COUNT === 0) void worker.count();
    }
    if (this.#stopping || this.#running.phase === 'starting') return;
    this.#withoutAny = [...this.#all].some(({ ready }) => ready) ? 0 : this.#withoutAny + 1;
    if (this.#withoutAny === PINGS_UNTIL_LOST)
      this.#running.lose(
        this.#lastFailure ?? serverError('server.worker-failed', 'no worker could be started for a minute'),
      );
  };
}

/** Ends workers of a primary that was killed: a frozen one would keep the ports. */
async function endLeftBehind({ lock, log }: Running): Promise<void> {
  const left = lock?.leftBehind ?? [];
  for (const pid of left) signal(pid, 'SIGCONT');
  for (let waited = 0; waited < LEFT_BEHIND_MS && left.some((pid) => signal(pid, 0)); waited += 50) await delay(50);
  for (const pid of left)
    if (signal(pid, 'SIGKILL')) log.warn({ pid }, 'a worker of an earlier start did not end by itself and was ended');
}

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false; // gone
  }
}

/**
 * Finds out whether the ports are free, and the numbers for port 0, before workers share them: SO_REUSEPORT does not report
 * a port that another process of this user holds in the same way.
 */
async function claim(listeners: readonly ListenerConfig[]): Promise<readonly ListenerConfig[]> {
  const held: Server[] = [];
  try {
    const claimed: ListenerConfig[] = [];
    for (const listener of listeners) {
      const server = await listen(listener, (socket) => socket.destroy());
      held.push(server);
      claimed.push({ ...listener, port: (server.address() as AddressInfo).port, shared: true });
    }
    return claimed;
  } catch (error) {
    throw isError(error) ? error : asError(error);
  } finally {
    await Promise.all(held.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  }
}
