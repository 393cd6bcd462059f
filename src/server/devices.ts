/** The lane for devices that cannot sign in, where the configuration has one. */
import { hostname as machineName } from 'node:os';
import { type DeviceListener, startDeviceListener } from '../outbox/device-listener.ts';
import { serverContext } from '../protocol/tls/server.ts';
import type { GatewayMeter } from '../gateway/types.ts';
import { atMost, systemClock } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import { defaultLimits } from '../gateway/start.ts';
import { doorsOf } from './config-doors.ts';
import type { CertificateInUse } from './certificate-in-use.ts';
import type { Instance } from './instance.ts';

/** @throws outbox.device-port, tls.certificate, server.config */
export async function startDevices(
  instance: Instance,
  certificate: CertificateInUse,
  meter: Pick<GatewayMeter, 'handshakeFailed'>,
  maxConnections: number,
): Promise<DeviceListener | undefined> {
  const { audit, clock, config, log, outbox, store } = instance;
  const { devices } = config.outbox;
  if (devices === undefined) return undefined;
  const hostname = config.hostname ?? machineName();
  const tls = serverContext(certificate.current);
  const listener = await startDeviceListener(
    {
      outbox,
      store,
      clock,
      log,
      hostname,
      tls,
      budget: instance.budget,
      audit,
      handshakeFailed: meter.handshakeFailed,
    },
    { ...devices, maxConnections, beside: doorsOf(config).filter(({ path }) => path[0] !== 'outbox') },
  );
  const watch = certificate.onChange(() => {
    try {
      tls.replace(certificate.current);
    } catch (error) {
      log.error({ error: asError(error).message }, 'devices: the new certificate cannot be used, the old one stays');
    }
  });
  return {
    port: listener.port,
    ease: listener.ease,
    async close() {
      watch.stop();
      await atMost(systemClock, config.limits.drainMs ?? defaultLimits.drainMs, listener.ease());
      await listener.close();
    },
  };
}
