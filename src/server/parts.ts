/**
 * Which parts run in which process, in the order of their start; they end in reverse. A new duty is an entry here.
 * What takes mail comes last, so that it ends first and everything it needs is still there.
 */
import { systemClock } from '../base/clock.ts';
import { collectWhenQuiet } from '../base/collection.ts';
import { asError } from '../base/error.ts';
import { openApi } from './api/listener.ts';
import { certificateFiles, filesOf, isWhole, keepCertificateFresh } from './certificate.ts';
import { type CertificateFiles, openCertificate } from './certificate-in-use.ts';
import { consentLink } from '../onboard/consent-link.ts';
import { consoleAddress } from './console-address.ts';
import { type ConsentPages, openConsentPages } from './consent-sign-in.ts';
import { startDeliveryDuty } from './delivery.ts';
import { startDevices } from './devices.ts';
import { composeGateway } from './gateway.ts';
import { takeHomeLock, watchHomeLock } from './home-lock.ts';
import { startHousekeeping } from './housekeeping.ts';
import { doorsOf } from './config-doors.ts';
import { shareDescriptors } from './descriptors.ts';
import { startConsole } from './http.ts';
import { installationFingerprint } from './installation-mark.ts';
import { openInstance } from './instance.ts';
import { watchKey } from './key-watch.ts';
import { openChannels } from './notice/channels.ts';
import { endedBy, type Part, stoppedLater } from './part.ts';
import { openReadiness } from './readiness.ts';
import { startRenewal } from './renewal.ts';
import { drainTime, type Role, type Running } from './running.ts';
import { version } from './version.ts';

const EVERY: readonly Role[] = ['single', 'primary', 'worker'];
/** Once for an installation on a machine, where no worker is: devices are few, and renewed tokens are found in the store. */
const ONCE: readonly Role[] = ['single', 'primary'];

export const PARTS: readonly Part<Running, Role>[] = [
  { name: 'the lock of the home', in: ONCE, start: (running) => (running.lock = takeHomeLock(running.config)) },
  {
    name: 'the watch over the lock',
    in: ONCE,
    start: (running) => running.lock && watchHomeLock(running.lock, running.clock, (error) => running.lose(error)),
  },
  { name: 'the database', in: EVERY, start: database },
  {
    name: 'the watch over the database',
    in: EVERY,
    start: (running) => (running.readiness = openReadiness(running.instance, (error) => running.lose(error))),
  },
  { name: 'the watch over the master key', in: ONCE, start: (running) => (running.key = watchKey(running.instance)) },
  { name: 'the record of the stop', in: ONCE, start: (running) => endedBy(() => recordStop(running)) },
  { name: 'the certificate', in: ONCE, start: certificate },
  { name: 'the console', in: ONCE, start: console },
  {
    name: 'delivery',
    in: ONCE,
    start: ({ instance, metrics }) => stoppedLater(startDeliveryDuty(instance, metrics.registry)),
    // Attempts under way may end: a message cut off here may have been sent or not.
    stopMs: () => 60_000,
  },
  { name: 'housekeeping', in: ONCE, start: ({ instance }) => stoppedLater(startHousekeeping(instance)) },
  { name: 'renewal', in: ONCE, start: renewal, stopMs: () => 60_000 },
  {
    name: 'the devices’ listener',
    in: ONCE,
    async start(running) {
      const devices = await startDevices(
        running.instance,
        running.certificate,
        running.metrics.meter,
        running.shares.devices,
      );
      running.devices = devices;
      return devices && endedBy(() => devices.close());
    },
    stopMs: drainTime,
  },
  { name: 'the gateway', in: ['single', 'worker'], start: gateway, stopMs: drainTime },
  {
    name: 'the workers',
    in: ['primary'],
    async start(running) {
      const { startWorkers } = await import('./workers.ts');
      running.workers = await startWorkers(running);
      return running.workers;
    },
    stopMs: (running) => drainTime(running) + 10_000,
  },
  {
    // Devices hear of the stop at its beginning, like idle programs; what they are handing over has the programs' time.
    name: 'the goodbye to devices',
    in: ONCE,
    start: (running) => endedBy(() => void running.devices?.ease()),
  },
  { name: 'the record of the start', in: ONCE, start: record },
  { name: 'collection in quiet moments', in: EVERY, start: () => stoppedLater(collectWhenQuiet()) },
];

async function database(running: Running): Promise<AsyncDisposable> {
  const { clock, config, log, metrics } = running;
  running.instance = await openInstance({
    config,
    log,
    clock,
    writer: 'thread',
    onEvent: (event) => metrics.event(event),
    lost: (error) => running.lose(error),
    damaged: (error) => running.foundDamage(error),
  });
  const carries = running.role !== 'primary';
  const once = running.role !== 'worker';
  running.shares = shareDescriptors(
    {
      maxConnections: config.limits.maxConnections,
      gateway: carries,
      console: once,
      devices: once && config.outbox.devices !== undefined,
    },
    log,
  );
  return endedBy(() => running.instance.close());
}

async function certificate(running: Running): Promise<AsyncDisposable> {
  const { config, log } = running;
  // By the system's clock: whoever connects goes by it, too.
  const files = await ownFiles(running);
  const watched = await openCertificate(files, systemClock, log, running.unwanted);
  running.certificate = running.watched = watched;
  const fresh = keepCertificateFresh(config, systemClock, log);
  running.authority = fresh;
  return endedBy(async () => {
    fresh.stop();
    await watched[Symbol.asyncDispose]();
  });
}

/** A certificate of the local CA that cannot be renewed just now is still good for a while. */
async function ownFiles({ config, log }: Running): Promise<CertificateFiles> {
  try {
    return await certificateFiles(config, systemClock, 'renew', log);
  } catch (error) {
    const files = filesOf(config);
    if (!isWhole(files)) throw error;
    log.error({ error: asError(error) }, 'the certificate could not be renewed; the old one stays in use');
    return files;
  }
}

async function console(running: Running): Promise<AsyncDisposable> {
  const { config, instance, metrics } = running;
  const api = await openApi(instance, metrics.registry);
  let pages: ConsentPages | undefined;
  const started = await startConsole({
    ...config.console,
    beside: doorsOf(config).filter(({ path }) => path[0] !== 'console'),
    tls: config.console.tls ? running.certificate : undefined,
    api,
    limits: running.shares.console,
    installation: installationFingerprint(config),
    budget: instance.budget,
    clock: instance.clock,
    log: running.log,
    metrics: () => running.workers?.metrics() ?? metrics.registry.metrics(),
    pages: async (request) => pages?.handle(request),
    starting: () => running.phase === 'starting',
    ready: () => running.problems(),
    warnings: () => running.warnings(),
  }).catch(async (error: unknown) => {
    await api.close();
    throw error;
  });
  running.consolePort = started.port;
  running.consoleBase = consoleAddress(config, started.port);
  pages = openConsentPages(instance, running.consoleBase);
  return endedBy(async () => {
    pages.close();
    await api.close();
    await started.close();
  });
}

function renewal({ consoleBase, instance, metrics }: Running): AsyncDisposable {
  return stoppedLater(
    startRenewal(instance, {
      registry: metrics.registry,
      channels: openChannels(instance),
      link: (address) => consentLink(instance, consoleBase, address),
    }),
  );
}

async function gateway(running: Running): Promise<AsyncDisposable> {
  const { instance, metrics } = running;
  const composed = await composeGateway(
    instance,
    running.listeners,
    running.certificate,
    metrics,
    running.shares.connections,
  );
  running.listeners = composed.gateway.addresses;
  running.sessions = () => composed.gateway.sessions;
  return endedBy(() => composed.drain());
}

async function record(running: Running): Promise<undefined> {
  const { config, instance, role } = running;
  const data = { version, pid: process.pid, ...(role === 'primary' ? { workers: config.workers } : {}) };
  await instance.audit.record({ type: 'server.started', outcome: 'ok', data });
  running.recorded = true;
  return undefined;
}

async function recordStop({ instance, recorded }: Running): Promise<void> {
  if (recorded) await instance.audit.record({ type: 'server.stopped', outcome: 'ok', data: { pid: process.pid } });
}
