/** The gateway's certificate: the operator's files, or one from a local CA kept in the home. Both may change while it runs. */
import { existsSync } from 'node:fs';
import { type CertificateFiles, readCertificate } from './certificate-in-use.ts';
import { hostname as machineName } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from '../base/folder.ts';
import type { Clock } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import { giveToOwner } from '../base/owner.ts';
import { isValid } from '../protocol/tls/authority-files.ts';
import { issueCertificate } from '../protocol/tls/local-ca.ts';
import { checkPair, covers } from '../protocol/tls/pair.ts';
import type { Config } from './config.ts';
import { isEveryInterface } from './config-value.ts';
import {
  type AuthorityTrouble,
  authorityProblem,
  LEAF_DAYS,
  localAuthority,
  restoreAuthority,
} from './local-authority.ts';
import { PUBLIC, writeWhole } from './whole-file.ts';

const DAY_MS = 86_400_000;
/** A leaf is replaced this long before its end. */
const RENEW_BEFORE_MS = 30 * DAY_MS;
/** A clock that was wrong when the certificate was made may be right soon. */
const LOOK_EVERY_MS = 10 * 60_000;
const AGAIN_MS = DAY_MS / 2;

/**
 * The files to use; makes CA and certificate on the first run, and a new certificate of the same CA when its end is near or this
 * machine has got another name or listens on another address.
 * @param existing `keep`: one that is there stays as it is, because a running server may use it by another name
 * @param log hears when the CA was made again
 * @throws server.home, server.disk-full, server.config (the CA cannot issue)
 */
export async function certificateFiles(
  config: Config,
  clock: Clock,
  existing: 'renew' | 'keep' = 'renew',
  log?: Pick<Log, 'warn'>,
): Promise<CertificateFiles> {
  const files = filesOf(config);
  const { also } = files;
  if (config.tls || also === undefined) return files;
  const { tls } = config.home;
  const leaves = [files.cert, also.cert];
  const names = certificateNames(config);
  const now = clock.now();
  if (existing === 'keep' && isWhole(files)) {
    restoreAuthority(tls, leaves, now);
    return files;
  }
  if (!existsSync(tls)) {
    makeFolder(tls);
    giveToOwner(tls);
  }
  let authority;
  try {
    authority = await localAuthority(tls, leaves, now, log);
  } catch (error) {
    // Without a CA that can issue the certificate is good until its end.
    if (isFresh(files, names, now)) return files;
    throw error;
  }
  if (isFresh(files, names, now, authority.certPem)) return files;
  const issue = (kind: 'ecdsa' | 'rsa') => issueCertificate(authority, { names, days: LEAF_DAYS, now, kind });
  const [leaf, second] = [await issue('ecdsa'), await issue('rsa')];
  writeWhole(also.key, second.keyPem);
  writeWhole(also.cert, second.certPem, PUBLIC);
  writeWhole(files.key, leaf.keyPem);
  writeWhole(files.cert, leaf.certPem, PUBLIC);
  return files;
}

/** The files in use, whether they exist yet or not. */
export function filesOf({ tls, home }: Pick<Config, 'home' | 'tls'>): CertificateFiles {
  if (tls) return { cert: tls.certificate, key: tls.key, ca: tls.ca };
  const file = (name: string): string => join(home.tls, name);
  const also = { cert: file('server-rsa.pem'), key: file('server-rsa.key') };
  return { cert: file('server.pem'), key: file('server.key'), ca: file('ca.pem'), also };
}

export interface KeptCertificate {
  /** What a person should know of the CA behind it, in plain words. */
  warnings(): readonly string[];
  stop(): void;
}

/** Looks now and then whether the local CA's certificate has to be renewed, or the clock was set. One process does this for all workers. */
export function keepCertificateFresh(config: Config, clock: Clock, log: Log): KeptCertificate {
  if (config.tls) return { warnings: () => [], stop: () => undefined };
  const { tls } = config.home;
  let stopped = false;
  let trouble: Pick<AuthorityTrouble, 'says'> | undefined;
  const judge = (): void => {
    const before = trouble;
    try {
      trouble = authorityProblem(tls, clock.now());
    } catch (error) {
      trouble = { says: asError(error).message };
    }
    if (trouble === undefined || trouble.says === before?.says) return;
    const { says, ...hint } = trouble;
    log.warn(hint, `${says}; the certificate in use serves until its end`);
  };
  const look = async (): Promise<void> => {
    let wait = LOOK_EVERY_MS;
    try {
      await certificateFiles(config, clock, 'renew', log);
    } catch (error) {
      wait = AGAIN_MS;
      log.error({ error: asError(error) }, 'the certificate could not be renewed; trying again in twelve hours');
    }
    judge();
    if (!stopped) timer = clock.after(wait, start);
  };
  const start = (): void => void look();
  let timer = clock.after(LOOK_EVERY_MS, start);
  judge();
  return {
    warnings: () => (trouble === undefined ? [] : [trouble.says]),
    stop() {
      stopped = true;
      timer.cancel();
    },
  };
}

/** What mail programs may call this machine by: its name, and every address on which something of ours listens. */
export function certificateNames(
  config: Pick<Config, 'console' | 'hostname' | 'listeners' | 'outbox'>,
): readonly string[] {
  const { console, hostname, listeners, outbox } = config;
  const listening = [...listeners, ...(console.tls ? [console] : []), ...(outbox.devices ? [outbox.devices] : [])];
  const addresses = listening.map(({ host }) => host).filter((host) => !isEveryInterface(host));
  return [...new Set(['localhost', hostname ?? machineName(), '127.0.0.1', '::1', ...addresses])];
}

/** Whole, of this CA, for these names, valid now and far from its end. What is not is made again: it is ours. */
function isFresh({ also, ...files }: CertificateFiles, names: readonly string[], now: number, ca?: string): boolean {
  try {
    return [files, ...(also ? [also] : [])].every((one) => {
      const pair = readCertificate(one);
      const { leaf } = checkPair(pair);
      // Renewed, the CA goes along with the leaf.
      const issued = ca === undefined || pair.cert.includes(ca.trim());
      return issued && names.every((name) => covers(leaf, name)) && isValid(leaf, now, RENEW_BEFORE_MS);
    });
  } catch {
    return false;
  }
}

/** Whether both files can be used, whatever names they are for. */
export function isWhole(files: Pick<CertificateFiles, 'cert' | 'key'>): boolean {
  try {
    checkPair(readCertificate(files));
    return true;
  } catch {
    return false;
  }
}
