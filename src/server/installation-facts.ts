/** The configuration as a check of the installation looks at it. */
import type { InstallationFacts } from '../check/home-facts.ts';
import { certificateNames, filesOf } from './certificate.ts';
import { authorityProblem } from './local-authority.ts';
import { weaknessOf } from '../vault/passphrase.ts';
import type { Config } from './config.ts';
import { leftOutText } from './config-listeners.ts';
import type { Environment } from './home.ts';
import { isEveryInterface, isLoopback } from './config-value.ts';
import { databaseFile, installationFingerprint } from './installation-mark.ts';

export function installationFacts(config: Config, environment: Environment): InstallationFacts {
  const { home, key, tls, listeners, log } = config;
  const files = filesOf(config);
  return {
    home,
    keyPath: key.source === 'file' ? key.path : undefined,
    passphraseWeakness: key.source === 'passphrase' ? weaknessOf(key.passphrase.reveal()) : undefined,
    databasePath: databaseFile(config),
    certificatePath: files.cert,
    certificateKeyPath: files.key,
    certificateNames: tls === undefined ? certificateNames(config) : operatorsNames(config),
    ownCertificate: tls === undefined,
    authority: tls === undefined ? { problem: (now) => authorityProblem(home.tls, now) } : undefined,
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
