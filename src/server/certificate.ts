/** The gateway's certificate: the operator's files, or one from a local CA kept in the home. Both may change while it runs. */
import { existsSync, linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { CertificateFiles } from './certificate-in-use.ts';
import { hostname as machineName } from 'node:os';
import { dirname, join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { machineError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import { giveToOwner } from '../base/owner.ts';
import { createAuthority, issueCertificate } from '../protocol/tls/local-ca.ts';
import { checkPair, covers } from '../protocol/tls/pair.ts';
import { readCertificate } from './certificate-in-use.ts';
import type { Config } from './config.ts';
import { readText } from './environment.ts';
import { isEveryInterface } from './config-value.ts';
import { serverError } from './errors.ts';

/** As Apple's clients accept for private CAs (support.apple.com/102028). */
const LEAF_DAYS = 397;
const DAY_MS = 86_400_000;
/** A leaf is replaced this long before its end. */
const RENEW_BEFORE_MS = 30 * DAY_MS;
const FRESH_EVERY_MS = DAY_MS / 2;

/**
 * The files to use; makes CA and certificate on the first run, and a new certificate of the same CA when its end is near or this
 * machine has got another name or listens on another address.
 * @param existing `keep`: one that is there stays as it is, because a running server may use it by another name
 * @throws server.home, server.disk-full, server.config (the CA is damaged)
 */
export async function certificateFiles(
  config: Config,
  clock: Clock,
  existing: 'renew' | 'keep' = 'renew',
): Promise<CertificateFiles> {
  if (config.tls) return { cert: config.tls.certificate, key: config.tls.key, ca: config.tls.ca };
  const { tls } = config.home;
  const file = (name: string): string => join(tls, name);
  const also = { cert: file('server-rsa.pem'), key: file('server-rsa.key') };
  const files = { cert: certificatePath(config), key: file('server.key'), ca: file('ca.pem'), also };
  const names = certificateNames(config);
  if (isFresh(files, names, clock.now()) || (existing === 'keep' && isWhole(files))) return files;
  if (!existsSync(tls)) {
    mkdirSync(tls, { recursive: true, mode: 0o700 });
    giveToOwner(tls);
  }
  if (!existsSync(files.ca)) {
    const made = await createAuthority(`Postern local CA (${machineName()})`, clock.now());
    // The key goes first: a CA certificate without its key would never be replaced.
    if (writeOnce(file('ca.key'), made.keyPem) || !(await comes(files.ca))) {
      write(file('ca.key'), made.keyPem);
      write(files.ca, made.certPem, PUBLIC);
    }
  }
  const authority = { certPem: readText(files.ca), keyPem: readText(file('ca.key')) };
  const issue = (kind: 'ecdsa' | 'rsa') =>
    issueCertificate(authority, { names, days: LEAF_DAYS, now: clock.now(), kind }).catch((cause: unknown) => {
      throw serverError('server.config', `the local CA in ${tls} is damaged, so no certificate can be made`, {
        hint: `restore ca.pem and ca.key in ${tls} from a backup; without one remove them, and mail programs have to trust the new ca.pem`,
        cause,
      });
    });
  const [leaf, second] = [await issue('ecdsa'), await issue('rsa')];
  write(also.key, second.keyPem);
  write(also.cert, second.certPem, PUBLIC);
  write(files.key, leaf.keyPem);
  write(files.cert, leaf.certPem, PUBLIC);
  return files;
}

/** The certificate in use, whether it exists yet or not. */
export function certificatePath(config: Pick<Config, 'tls' | 'home'>): string {
  return config.tls?.certificate ?? join(config.home.tls, 'server.pem');
}

/** Looks twice a day whether the local CA's certificate has to be renewed. One process does this for all workers. */
export function keepCertificateFresh(config: Config, clock: Clock, log: Log): { stop(): void } {
  if (config.tls) return { stop: () => undefined };
  let stopped = false;
  const look = async (): Promise<void> => {
    try {
      await certificateFiles(config, clock);
    } catch (error) {
      log.error({ error }, 'the certificate could not be renewed; trying again in twelve hours');
    }
    if (!stopped) timer = clock.after(FRESH_EVERY_MS, start);
  };
  const start = (): void => void look();
  let timer = clock.after(FRESH_EVERY_MS, start);
  return {
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

/** Whole, for these names, and far from its end. What is not is made again: it is ours. */
function isFresh(files: CertificateFiles, names: readonly string[], now: number): boolean {
  try {
    const { leaf, until } = checkPair(readCertificate(files));
    // One of an earlier version has no second pair yet.
    if (files.also && !isWhole(files.also)) return false;
    return names.every((name) => covers(leaf, name)) && until - now > RENEW_BEFORE_MS;
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

/** A certificate is shown to everybody who connects; only its key is secret. */
const PUBLIC = 0o644;

/** False when there is one already: another process is making a CA just now, or was ended while it did. */
function writeOnce(path: string, text: string): boolean {
  if (existsSync(path)) return false;
  const fresh = `${path}.once-${process.pid}`;
  write(fresh, text);
  try {
    linkSync(fresh, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    // A file system without hard links: nobody is kept away there.
    return true;
  } finally {
    rmSync(fresh, { force: true });
  }
}

/** Another process takes milliseconds from the key to the certificate. */
async function comes(path: string): Promise<boolean> {
  for (let waited = 0; waited < 2000 && !existsSync(path); waited += 20) await delay(20);
  return existsSync(path);
}

/** In one step, so that a running gateway never reads half a file. @throws server.disk-full, server.home */
function write(path: string, text: string, mode = 0o600): void {
  // Of this process alone: two that start together take nothing from each other.
  const fresh = `${path}.new-${process.pid}`;
  try {
    writeFileSync(fresh, text, { mode, flush: true });
    giveToOwner(fresh, path);
    renameSync(fresh, path);
  } catch (cause) {
    const { code = 'unknown reason' } = cause as NodeJS.ErrnoException;
    const ofMachine = machineError(cause, path);
    // What cannot be written cannot be removed either.
    if (code !== 'EROFS') rmSync(fresh, { force: true });
    if (code === 'ENOSPC' || code === 'EDQUOT')
      throw serverError('server.disk-full', `the disk of ${dirname(path)} is full`, { cause });
    throw ofMachine ?? serverError('server.home', `${path} cannot be written (${code})`, { cause });
  }
}
