/** The configuration as a check of the installation looks at it. */
import { join } from 'node:path';
import type { InstallationFacts } from '../check/home-facts.ts';
import { certificateNames } from './certificate.ts';
import { weaknessOf } from '../vault/passphrase.ts';
import type { Config } from './config.ts';
import type { Environment } from './home.ts';
import { databaseFile } from './installation-mark.ts';

export function installationFacts(config: Config, environment: Environment): InstallationFacts {
  const { home, key, tls, listeners, log } = config;
  return {
    home,
    keyPath: key.source === 'file' ? key.path : undefined,
    passphraseWeakness: key.source === 'passphrase' ? weaknessOf(key.passphrase.reveal()) : undefined,
    databasePath: databaseFile(config),
    certificatePath: tls?.certificate ?? join(home.tls, 'server.pem'),
    certificateKeyPath: tls?.key ?? join(home.tls, 'server.key'),
    // An operator's certificate may be for any name: only one that is set can be compared.
    certificateNames:
      tls === undefined ? certificateNames(config) : config.hostname === undefined ? [] : [config.hostname],
    ownCertificate: tls === undefined,
    listeners,
    console: config.console,
    devices: config.outbox.devices,
    logLevel: log.level,
    environment,
  };
}
