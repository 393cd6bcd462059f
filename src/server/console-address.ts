import { hostname } from 'node:os';
import type { Config } from './config.ts';

/** Where people's browsers reach the console: as configured, else on this machine only. */
export function consoleAddress(config: Pick<Config, 'console' | 'hostname'>, port = config.console.port): string {
  const { publicUrl, tls } = config.console;
  return publicUrl ?? (tls ? `https://${config.hostname ?? hostname()}:${port}/` : `http://localhost:${port}/`);
}
