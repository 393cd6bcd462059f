/** The local CA in the home: made once; what is lost of it is made again as far as mail programs go on trusting it. */
import { existsSync, readFileSync } from 'node:fs';
import { hostname as machineName } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import { shellWord } from '../base/shell.ts';
import {
  type AuthorityFiles,
  type AuthorityFound,
  authorityOf,
  isValid,
  readAuthority,
} from '../protocol/tls/authority-files.ts';
import { type CertificateAuthority, createAuthority, renewAuthority } from '../protocol/tls/local-ca.ts';
import { readText } from './environment.ts';
import { serverError } from './errors.ts';
import { PUBLIC, writeOnce, writeWhole } from './whole-file.ts';

/** As Apple's clients accept for private CAs (support.apple.com/102028). */
export const LEAF_DAYS = 397;
const DAY_MS = 86_400_000;
/** A CA that ends before a new leaf would gets a new certificate for its key, so that programs have a year to take it up. */
const NEEDS_MS = (LEAF_DAYS + 30) * DAY_MS;

function authorityFiles(tls: string): AuthorityFiles {
  return { cert: join(tls, 'ca.pem'), key: join(tls, 'ca.key') };
}

/** What a person should know of a CA that cannot issue, and what helps. */
export interface AuthorityTrouble {
  readonly says: string;
  readonly hint: string;
}

function authorityTrouble(tls: string, problem: string): AuthorityTrouble {
  return {
    says: `the local CA cannot make a certificate: ${problem}`,
    hint: `restore ca.pem and ca.key in ${tls} from a backup and start Postern again; without a backup make a new CA: mv ${shellWord(tls)} ${shellWord(`${tls}.old`)}, start Postern again, and import the new ca.pem into every mail program`,
  };
}

/**
 * The CA to issue with. A key is never replaced: a certificate that is lost, not valid yet or at its end is found in the chain of the
 * leaf or made again for the same key and name, so that programs which trust the one before trust what it issues.
 * @param leaf the certificate file it issued last
 * @throws server.config when it cannot issue; server.home, server.disk-full
 */
export async function localAuthority(
  tls: string,
  leaf: string,
  now: number,
  log?: Pick<Log, 'warn'>,
): Promise<CertificateAuthority> {
  const files = authorityFiles(tls);
  const look = (): AuthorityFound => readAuthority(files, now, NEEDS_MS, readText);
  let found = look();
  const chain = readChain(leaf);
  if (found.none && chain === '') {
    const made = await createAuthority(`Postern local CA (${machineName()})`, now);
    // The key goes first: with it the certificate can be made again.
    if (writeOnce(files.key, made.keyPem)) {
      writeWhole(files.cert, made.certPem, PUBLIC);
      return made;
    }
    await comes(files.cert);
    found = look();
  }
  const { certificate, key, problem } = found;
  if (problem === undefined) return { certPem: certificate!.pem, keyPem: key!.pem };
  const foreign = certificate !== undefined && key !== undefined && !certificate.x509.checkPrivateKey(key.object);
  if (key === undefined || foreign) {
    restoreAuthority(tls, leaf, now);
    const { says, hint } = authorityTrouble(tls, problem);
    throw serverError('server.config', says, { hint, detail: { tls } });
  }
  const kept = authorityOf(chain, key.object);
  if (certificate === undefined && kept && isValid(kept.x509, now, NEEDS_MS)) {
    writeWhole(files.cert, kept.pem, PUBLIC);
    log?.warn({ file: files.cert }, `${problem}: it was restored from ${leaf}; mail programs go on as before`);
    return { certPem: kept.pem, keyPem: key.pem };
  }
  const subject = (certificate ?? kept)?.x509;
  const made = await renewAuthority(key.pem, subject?.raw ?? `Postern local CA (${machineName()})`, now);
  writeWhole(files.cert, made.certPem, PUBLIC);
  log?.warn(
    {
      file: files.cert,
      hint: `import the new ${files.cert} into mail programs that turn the gateway away; those that trust a certificate of this CA that is still valid go on. If the date of this machine is wrong, correct it (timedatectl)`,
    },
    `${problem}: a new certificate of the local CA was made for its key`,
  );
  return made;
}

/** As it is, nothing changed: what stands against issuing with it. */
export function authorityProblem(tls: string, now: number): AuthorityTrouble | undefined {
  const { problem } = readAuthority(authorityFiles(tls), now, 0, readText);
  return problem === undefined ? undefined : authorityTrouble(tls, problem);
}

/** What stands against trusting `ca.pem` as it is; its key does not matter here. */
export function trustTrouble(tls: string, now: number): AuthorityTrouble | undefined {
  const { certificate, problem = '' } = readAuthority(authorityFiles(tls), now, 0, readText);
  return certificate !== undefined && isValid(certificate.x509, now) ? undefined : authorityTrouble(tls, problem);
}

/** Puts the CA's certificate back where the leaf's chain has it, and changes nothing else. */
export function restoreAuthority(tls: string, leaf: string, now: number): void {
  const files = authorityFiles(tls);
  const { certificate, key } = readAuthority(files, now, 0, readText);
  if (certificate !== undefined) return;
  const kept = authorityOf(readChain(leaf), key?.object);
  if (kept) writeWhole(files.cert, kept.pem, PUBLIC);
}

function readChain(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/** Another process takes milliseconds from the key to the certificate. */
async function comes(path: string): Promise<void> {
  for (let waited = 0; waited < 2000 && !existsSync(path); waited += 20) await delay(20);
}
