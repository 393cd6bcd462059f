/** The configuration as a check of the installation looks at it. */
import { join } from 'node:path';
import type { InstallationFacts } from '../check/home-facts.ts';
import type { Config } from './config.ts';
import type { Environment } from './home.ts';

export function installationFacts(config: Config, environment: Environment): InstallationFacts {
  const { home, key, tls, listeners, log } = config;
  const database = config.database.reveal();
  return {
    home,
    keyPath: key.source === 'file' ? key.path : undefined,
    databasePath: database.startsWith('sqlite:')
      ? database.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '')
      : undefined,
    certificatePath: tls?.certificate ?? join(home.tls, 'server.pem'),
    ownCertificate: tls === undefined,
    listeners,
    console: config.console,
    devices: config.outbox.devices,
    logLevel: log.level,
    environment,
  };
}
