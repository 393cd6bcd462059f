/** The configuration as a check of the installation looks at it. */
import { join } from 'node:path';
import type { InstallationFacts } from '../check/home-facts.ts';
import { certificateNames } from './certificate.ts';
import { weaknessOf } from '../vault/passphrase.ts';
import type { Config } from './config.ts';
import { leftOutText } from './config-listeners.ts';
import type { Environment } from './home.ts';
import { isEveryInterface, isLoopback } from './config-value.ts';
import { databaseFile, installationFingerprint } from './installation-mark.ts';

export function installationFacts(config: Config, environment: Environment): InstallationFacts {
  const { home, key, tls, listeners, log } = config;
  return {
    home,
    keyPath: key.source === 'file' ? key.path : undefined,
    passphraseWeakness: key.source === 'passphrase' ? weaknessOf(key.passphrase.reveal()) : undefined,
    databasePath: databaseFile(config),
    certificatePath: tls?.certificate ?? join(home.tls, 'server.pem'),
    certificateKeyPath: tls?.key ?? join(home.tls, 'server.key'),
    certificateNames: tls === undefined ? certificateNames(config) : operatorsNames(config),
    ownCertificate: tls === undefined,
    listeners,
    listenersLeftOut: leftOutText(listeners),
    console: config.console,
    consoleDoor: {
      host: config.console.host,
      port: config.console.port,
      tls: config.console.tls,
      installation: installationFingerprint(config),
    },
    devices: config.outbox.devices,
    logLevel: log.level,
    environment,
  };
}

/** An operator's certificate may be for any name: what can be compared is the name that is set, else where programs are sent. */
function operatorsNames({ hostname, listeners }: Config): readonly string[] {
  if (hostname !== undefined) return [hostname];
  const beyond = listeners.map(({ host }) => host).filter((host) => !isLoopback(host) && !isEveryInterface(host));
  return [...new Set(beyond)];
}
