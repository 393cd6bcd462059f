/** The gateway's certificate: the operator's files, or one from a local CA kept in the home. Both may change while it runs. */
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hostname as machineName } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { createAuthority, issueCertificate } from '../protocol/tls/local-ca.ts';
import type { Config } from './config.ts';
import { serverError } from './errors.ts';

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  /** The local CA, to be trusted by mail programs; undefined with the operator's own certificate. */
  readonly ca: string | undefined;
}

/** As Apple's clients accept for private CAs (support.apple.com/102028). */
const LEAF_DAYS = 397;
const DAY_MS = 86_400_000;
/** A leaf is replaced this long before its end; looked at every few seconds by {@link watchCertificate}. */
const RENEW_BEFORE_MS = 30 * DAY_MS;
const LOOK_EVERY_MS = 5000;
const FRESH_EVERY_MS = DAY_MS / 2;

/** The files to use; makes CA and certificate on the first run and renews the certificate when its end is near. */
export async function certificateFiles(config: Config, clock: Clock): Promise<CertificateFiles> {
  if (config.tls) return { cert: config.tls.certificate, key: config.tls.key, ca: undefined };
  const { tls } = config.home;
  const file = (name: string): string => join(tls, name);
  const files = { cert: certificatePath(config), key: file('server.key'), ca: file('ca.pem') };
  const names = namesOf(config);
  if (existsSync(files.cert) && existsSync(files.key) && isFresh(readFileSync(files.cert, 'utf8'), names, clock.now()))
    return files;
  mkdirSync(tls, { recursive: true, mode: 0o700 });
  if (!existsSync(files.ca)) {
    const made = await createAuthority(`Postern local CA (${machineName()})`, clock.now());
    // The key goes first: a CA certificate without its key would never be replaced.
    write(file('ca.key'), made.keyPem);
    write(files.ca, made.certPem);
  }
  const authority = { certPem: read(files.ca), keyPem: read(file('ca.key')) };
  const leaf = await issueCertificate(authority, { names, days: LEAF_DAYS, now: clock.now() });
  write(files.key, leaf.keyPem);
  write(files.cert, leaf.certPem);
  return files;
}

/** The certificate in use, whether it exists yet or not. */
export function certificatePath(config: Pick<Config, 'tls' | 'home'>): string {
  return config.tls?.certificate ?? join(config.home.tls, 'server.pem');
}

/** @throws server.config when a file cannot be read */
export function readCertificate(files: CertificateFiles): { readonly cert: string; readonly key: string } {
  return { cert: read(files.cert), key: read(files.key) };
}

/** Calls back when the files' contents changed. Polls: rename, symlink and bind-mount updates all look different to watchers. */
export function watchCertificate(
  files: CertificateFiles,
  clock: Clock,
  log: Log,
  changed: () => void,
): { look(): void; stop(): void } {
  const state = (): string => {
    try {
      const { cert, key } = readCertificate(files);
      return cert + key;
    } catch (error) {
      log.warn({ error }, 'the certificate files cannot be read just now; the old certificate stays in use');
      return seen;
    }
  };
  let seen = '';
  seen = state();
  const look = (): void => {
    const now = state();
    if (now === seen) return;
    seen = now;
    changed();
  };
  const tick = (): void => {
    look();
    timer = clock.after(LOOK_EVERY_MS, tick);
  };
  let timer = clock.after(LOOK_EVERY_MS, tick);
  return { look, stop: () => timer.cancel() };
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

function namesOf({ hostname }: Config): readonly string[] {
  return [...new Set(['localhost', hostname ?? machineName(), '127.0.0.1', '::1'])];
}

function isFresh(pem: string, names: readonly string[], now: number): boolean {
  const certificate = new X509Certificate(pem);
  const covers = names.every(
    (name) => certificate.checkHost(name) !== undefined || certificate.checkIP(name) !== undefined,
  );
  return covers && new Date(certificate.validTo).getTime() - now > RENEW_BEFORE_MS;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw serverError('server.config', `the certificate file ${path} cannot be read`, {
      hint: `check that it exists and that this user may read it: ls -l ${path}`,
      cause,
    });
  }
}

/** In one step, so that a running gateway never reads half a file. */
function write(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
