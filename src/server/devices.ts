/** The lane for devices that cannot sign in, where the configuration has one. */
import { hostname as machineName } from 'node:os';
import { type DeviceListener, startDeviceListener } from '../outbox/device-listener.ts';
import type { Instance } from './instance.ts';

/** @throws outbox.device-port */
export async function startDevices(instance: Instance): Promise<DeviceListener | undefined> {
  const { clock, config, log, outbox, store } = instance;
  const { devices } = config.outbox;
  if (devices === undefined) return undefined;
  const hostname = config.hostname ?? machineName();
  return startDeviceListener({ outbox, store, clock, log, hostname }, devices);
}
