/**
 * Several processes on the same ports. The primary claims the ports, starts the workers, keeps them alive, adds up their
 * metrics and passes signals on; it carries no mail itself. Each worker has a store connection and a token cache of its own;
 * leases in the store keep their renewals from colliding.
 */
import cluster, { type Worker } from 'node:cluster';
import { createServer, type Server } from 'node:net';
import { backoffMs } from '../base/backoff.ts';
import { systemClock, type Timer } from '../base/clock.ts';
import { collectWhenQuiet } from '../base/collection.ts';
import { asError, PosternError } from '../base/error.ts';
import { gatewayError } from '../gateway/errors.ts';
import type { ListenerConfig } from '../gateway/types.ts';
import { openApi } from './api/listener.ts';
import { certificateFiles, keepCertificateFresh } from './certificate.ts';
import type { Config } from './config.ts';
import { serverError } from './errors.ts';
import { type ConsentPages, consentLink, consoleAddress, openConsentPages } from './consent-link.ts';
import { composeGateway } from './gateway.ts';
import { startConsole } from './http.ts';
import { openInstance } from './instance.ts';
import type { ServerLog } from './log.ts';
import { addUp, openMetrics } from './metrics.ts';
import { openChannels } from './notice/channels.ts';
import { startDeliveryDuty } from './delivery.ts';
import { startDevices } from './devices.ts';
import { startRenewal } from './renewal.ts';
import { problemsOf, type Serving } from './serve.ts';
import { version } from './version.ts';

type ToWorker =
  | { readonly type: 'listeners'; readonly listeners: readonly ListenerConfig[] }
  | { readonly type: 'metrics'; readonly id: number }
  | { readonly type: 'reload' }
  | { readonly type: 'stop' };
type ToPrimary =
  | { readonly type: 'hello' }
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly error: ReturnType<PosternError['toJSON']> }
  | { readonly type: 'metrics'; readonly id: number; readonly values: object };

/** A worker that lives shorter than this counts as failing again. */
const STABLE_MS = 30_000;
const RESTART = { baseMs: 500, maxMs: 30_000 };
/** Monitoring waits no longer for a worker that does not answer. */
const METRICS_MS = 2000;

/** The primary's part. @throws gateway.port-taken, server.*, and what a worker fails with at its first start */
export async function serveWithWorkers(config: Config, log: ServerLog): Promise<Serving> {
  // Made here once, so that workers do not race to make them; opening also upgrades the database.
  const metrics = openMetrics(version);
  const instance = await openInstance({ config, log, writer: 'thread', onEvent: (event) => metrics.event(event) });
  const channels = openChannels(instance);
  const certificate = await certificateFiles(config, systemClock);
  const listeners = await claim(config.listeners);
  const workers = new Set<Worker>();
  const ready = new Set<Worker>();
  const restarts = new Set<Timer>();
  let stopping = false;
  let asked = 0;
  const answers = new Map<number, (values: object) => void>();

  const start = (attempt: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = cluster.fork();
      const since = systemClock.now();
      workers.add(worker);
      worker.on('message', (message: ToPrimary) => {
        if (message.type === 'hello') send(worker, { type: 'listeners', listeners });
        else if (message.type === 'ready') {
          ready.add(worker);
          resolve();
        } else if (message.type === 'metrics') answers.get(message.id)?.(message.values);
        else reject(revive(message.error));
      });
      worker.once('exit', (code, signal) => {
        workers.delete(worker);
        ready.delete(worker);
        if (stopping) return resolve();
        reject(serverError('server.worker-failed', `a worker ended (${signal ?? `code ${code}`}) before it was ready`));
        const tries = systemClock.now() - since > STABLE_MS ? 0 : attempt + 1;
        const wait = backoffMs(tries, RESTART);
        log.error(
          { worker: worker.process.pid, code, signal, wait },
          'a worker ended; its sessions are lost, a new one is started',
        );
        const restart = systemClock.after(wait, () => {
          restarts.delete(restart);
          start(tries).catch((error: unknown) => log.error({ error }, 'a worker could not be started'));
        });
        restarts.add(restart);
      });
    });

  // Here, where no mail program is served: devices are few, and their port is not shared.
  const devices = await startDevices(instance, certificate);
  try {
    await Promise.all(Array.from({ length: config.workers }, () => start(0)));
  } catch (error) {
    stopping = true;
    await devices?.close();
    for (const worker of workers) worker.kill();
    await instance.close();
    throw error;
  }
  const fresh = keepCertificateFresh(config, systemClock, log);
  let pages: ConsentPages | undefined;
  const metricsOf = (worker: Worker): Promise<object | undefined> =>
    new Promise((resolve) => {
      const id = ++asked;
      const done = (values: object | undefined): void => {
        timer.cancel();
        answers.delete(id);
        resolve(values);
      };
      const timer = systemClock.after(METRICS_MS, () => done(undefined));
      answers.set(id, done);
      send(worker, { type: 'metrics', id });
    });
  const api = await openApi(instance, metrics.registry);
  const console = await startConsole({
    ...config.console,
    tls: config.console.tls ? { files: certificate, log } : undefined,
    api,
    metrics: async () => {
      const own = metrics.registry.getMetricsAsJSON();
      return addUp((await Promise.all([own, ...[...workers].map(metricsOf)])).filter((values) => values !== undefined));
    },
    pages: async (request) => pages?.handle(request),
    ready: async () => {
      if (stopping) return ['shutting down'];
      const missing = config.workers - ready.size;
      return [
        ...(missing > 0 ? [`${missing} of ${config.workers} workers are down`] : []),
        ...(await problemsOf(() => instance.store.ping())),
      ];
    },
  });
  const base = consoleAddress(config, console.port);
  pages = openConsentPages(instance, base);
  const link = (address: string): Promise<string | undefined> => consentLink(instance, base, address);
  // Here, where no mail passes: the workers find renewed tokens in the store.
  const delivery = startDeliveryDuty(instance, metrics.registry);
  const renewal = startRenewal(instance, { registry: metrics.registry, channels, link });
  await instance.audit.record({
    type: 'server.started',
    outcome: 'ok',
    data: { version, pid: process.pid, workers: config.workers },
  });
  const collecting = collectWhenQuiet();
  return {
    listeners,
    consolePort: console.port,
    devicePort: devices?.port,
    reload() {
      for (const worker of workers) send(worker, { type: 'reload' });
    },
    async stop() {
      stopping = true;
      collecting.stop();
      fresh.stop();
      for (const restart of restarts) restart.cancel();
      pages?.close();
      await renewal.stop();
      await devices?.close();
      await delivery.stop();
      log.info({ workers: workers.size }, 'stopping: no new connections, sessions may end');
      await Promise.all(
        [...workers].map(
          (worker) =>
            new Promise<void>((resolve) => {
              worker.once('exit', () => resolve());
              send(worker, { type: 'stop' });
            }),
        ),
      );
      await instance.audit.record({ type: 'server.stopped', outcome: 'ok', data: { pid: process.pid } });
      await api.close();
      await console.close();
      await instance.close();
      log.info({}, 'stopped');
      log.flush();
    },
  };
}

/** A worker's part: runs until the primary says stop, or is gone. */
export async function work(config: Config, log: ServerLog): Promise<void> {
  const tell = (message: ToPrimary): void => void process.send?.(message);
  const listeners = new Promise<readonly ListenerConfig[]>((resolve) => {
    process.once('message', (message: ToWorker) => {
      if (message.type === 'listeners') resolve(message.listeners);
    });
  });
  tell({ type: 'hello' });
  try {
    const metrics = openMetrics(version);
    const instance = await openInstance({ config, log, writer: 'thread', onEvent: (event) => metrics.event(event) });
    const composed = await composeGateway(
      instance,
      await listeners,
      await certificateFiles(config, systemClock),
      metrics,
    );
    const collecting = collectWhenQuiet();
    let stopped: Promise<void> | undefined;
    const stop = (): void => {
      stopped ??= (async () => {
        collecting.stop();
        await composed.drain();
        await instance.close();
        log.flush();
        process.exit(0);
      })();
    };
    process.on('message', (message: ToWorker) => {
      if (message.type === 'reload') composed.reload();
      else if (message.type === 'stop') stop();
      else if (message.type === 'metrics') {
        void metrics.registry.getMetricsAsJSON().then((values) => tell({ type: 'metrics', id: message.id, values }));
      }
    });
    // Without its primary nobody supervises it or knows of it.
    process.once('disconnect', stop);
    tell({ type: 'ready' });
  } catch (error) {
    tell({ type: 'failed', error: asError(error).toJSON() });
    log.flush();
    process.exitCode = 70;
    process.disconnect();
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
      const server = createServer();
      held.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once('error', (cause: NodeJS.ErrnoException) => {
          const { host, port } = listener;
          const taken = cause.code === 'EADDRINUSE';
          reject(
            gatewayError(
              taken ? 'gateway.port-taken' : 'gateway.cannot-listen',
              taken
                ? `port ${port} on ${host} is taken`
                : `cannot listen on ${host}:${port} (${cause.code ?? cause.message})`,
              { detail: { host, port }, cause },
            ),
          );
        });
        server.listen(listener.port, listener.host, resolve);
      });
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : listener.port;
      claimed.push({ ...listener, port, shared: true });
    }
    return claimed;
  } finally {
    await Promise.all(held.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  }
}

function send(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message);
}

function revive(error: Record<string, unknown>): PosternError {
  const { code, kind, message, hint, detail } = error as {
    code: string;
    kind: PosternError['kind'];
    message: string;
    hint: string;
    detail: Record<string, unknown>;
  };
  return new PosternError(code, { kind, hint }, message, { detail });
}
