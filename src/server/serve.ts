/** `postern serve`: one process, or a primary that supervises workers; until it is told to stop. */
import { type Clock, systemClock } from '../base/clock.ts';
import { collectWhenQuiet } from '../base/collection.ts';
import type { ListenerConfig } from '../gateway/types.ts';
import { openApi } from './api/listener.ts';
import { certificateFiles, keepCertificateFresh } from './certificate.ts';
import type { Config } from './config.ts';
import { type ConsentPages, consentLink, consoleAddress, openConsentPages } from './consent-link.ts';
import { startDeliveryDuty } from './delivery.ts';
import { startDevices } from './devices.ts';
import { composeGateway } from './gateway.ts';
import { startConsole } from './http.ts';
import { openInstance } from './instance.ts';
import type { ServerLog } from './log.ts';
import { openMetrics } from './metrics.ts';
import { openChannels } from './notice/channels.ts';
import { startRenewal } from './renewal.ts';
import { version } from './version.ts';

export interface Serving {
  /** Where the gateway really listens. */
  readonly listeners: readonly ListenerConfig[];
  readonly consolePort: number;
  /** Where devices may come in without signing in. */
  readonly devicePort: number | undefined;
  /** Reads the certificate files again. */
  reload(): void;
  /** Orderly stop: no new connections, sessions may end, audit flushed. */
  stop(): Promise<void>;
}

/** Everything in this process. @param clock the system's unless given. @throws server.*, gateway.*, vault.*, store.* */
export async function serve(config: Config, log: ServerLog, clock: Clock = systemClock): Promise<Serving> {
  const metrics = openMetrics(version);
  const instance = await openInstance({
    config,
    log,
    clock,
    writer: 'thread',
    onEvent: (event) => metrics.event(event),
  });
  try {
    const channels = openChannels(instance);
    const certificate = await certificateFiles(config, systemClock);
    const composed = await composeGateway(instance, config.listeners, certificate, metrics);
    const devices = await startDevices(instance, certificate).catch(async (error: unknown) => {
      await composed.drain();
      throw error;
    });
    const fresh = keepCertificateFresh(config, systemClock, log);
    let draining = false;
    const api = await openApi(instance, metrics.registry);
    let pages: ConsentPages | undefined;
    const console = await startConsole({
      ...config.console,
      tls: config.console.tls ? { files: certificate, log } : undefined,
      api,
      metrics: () => metrics.registry.metrics(),
      pages: async (request) => pages?.handle(request),
      ready: async () => (draining ? ['shutting down'] : problemsOf(() => instance.store.ping())),
    }).catch(async (error: unknown) => {
      await devices?.close();
      await api.close();
      fresh.stop();
      await composed.drain();
      throw error;
    });
    const base = consoleAddress(config, console.port);
    pages = openConsentPages(instance, base);
    const link = (address: string): Promise<string | undefined> => consentLink(instance, base, address);
    const delivery = startDeliveryDuty(instance, metrics.registry);
    const renewal = startRenewal(instance, { registry: metrics.registry, channels, link });
    await instance.audit.record({ type: 'server.started', outcome: 'ok', data: { version, pid: process.pid } });
    const collecting = collectWhenQuiet();
    return {
      listeners: composed.gateway.addresses,
      consolePort: console.port,
      devicePort: devices?.port,
      reload: () => composed.reload(),
      async stop() {
        draining = true;
        collecting.stop();
        fresh.stop();
        log.info({ sessions: composed.gateway.sessions }, 'stopping: no new connections, sessions may end');
        pages?.close();
        await renewal.stop();
        await devices?.close();
        await composed.drain();
        await delivery.stop();
        await instance.audit.record({ type: 'server.stopped', outcome: 'ok', data: { pid: process.pid } });
        await api.close();
        await console.close();
        await instance.close();
        log.info({}, 'stopped');
        log.flush();
      },
    };
  } catch (error) {
    await instance.close();
    throw error;
  }
}

/** A check's failure as plain words for `/readyz`. */
export async function problemsOf(check: () => Promise<void>): Promise<readonly string[]> {
  try {
    await check();
    return [];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}
