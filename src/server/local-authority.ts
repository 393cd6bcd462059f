/** The local CA in the home: made once; what is lost of it is made again as far as mail programs go on trusting it. */
import { existsSync, statSync } from 'node:fs';
import { hostname as machineName } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import { moveAway, shellWord } from '../base/shell.ts';
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

function authorityTrouble(tls: string, { problem, folders }: Trouble): AuthorityTrouble {
  const away = folders.map((path) => `${moveAway(path)}, then `).join('');
  return {
    says: `the local CA cannot make a certificate: ${problem}`,
    hint: `${away}restore ca.pem and ca.key in ${tls} from a backup and start Postern again; without a backup make a new CA: mv ${shellWord(tls)} ${shellWord(`${tls}.old`)}, start Postern again, and import the new ca.pem into every mail program`,
  };
}

type Trouble = Pick<AuthorityFound, 'folders' | 'problem'>;

/** What is here of an installation whose CA was made once: no other CA is made beside it. */
function isFirstRun(tls: string): boolean {
  const ours = ['ca.key', 'ca.pem', BEFORE, 'server.key', 'server.pem', 'server-rsa.key', 'server-rsa.pem'];
  return !ours.some((name) => existsSync(join(tls, name)));
}

/** The CA's certificate that the one in use has replaced: it comes back when the clock that made it look ended was wrong. */
const BEFORE = 'ca-before.pem';

/**
 * The CA to issue with. A key is never replaced: a certificate that is lost, not valid yet or at its end is found in the chain of a
 * leaf or made again for the same key and name, so that programs which trust the one before trust what it issues.
 * @param leaves the certificate files it issued last
 * @throws server.config when it cannot issue; server.home, server.disk-full
 */
export async function localAuthority(
  tls: string,
  leaves: readonly string[],
  now: number,
  log?: Pick<Log, 'warn'>,
): Promise<CertificateAuthority> {
  const files = authorityFiles(tls);
  const look = (): AuthorityFound => readAuthority(files, now, NEEDS_MS, readText);
  // In this order: another process that is at its first run writes the key of the CA before everything else.
  const first = isFirstRun(tls);
  let found = look();
  const chain = [...leaves, join(tls, BEFORE)].map(readChain).join('');
  if (found.none && first) {
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
    restoreAuthority(tls, leaves, now);
    const { says, hint } = authorityTrouble(tls, found);
    throw serverError('server.config', says, { hint, detail: { tls } });
  }
  const kept = authorityOf(chain, key.object, { now, needsMs: NEEDS_MS });
  if (kept) {
    writeWhole(files.cert, kept.pem, PUBLIC);
    log?.warn(
      { file: files.cert },
      `${problem}: it was restored from what is in ${tls}; mail programs that trust it go on as before`,
    );
    return { certPem: kept.pem, keyPem: key.pem };
  }
  const subject = (certificate ?? authorityOf(chain, key.object))?.x509;
  if (certificate) writeWhole(join(tls, BEFORE), certificate.pem, PUBLIC);
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
  const found = readAuthority(authorityFiles(tls), now, 0, readText);
  return found.problem === undefined ? undefined : authorityTrouble(tls, found);
}

/** What stands against trusting `ca.pem` as it is; its key does not matter here. */
export function trustTrouble(tls: string, now: number): AuthorityTrouble | undefined {
  const found = readAuthority(authorityFiles(tls), now, 0, readText);
  return found.certificate && isValid(found.certificate.x509, now) ? undefined : authorityTrouble(tls, found);
}

/** Puts the CA's certificate back where the chain of a leaf has it, and changes nothing else. */
export function restoreAuthority(tls: string, leaves: readonly string[], now: number): void {
  const files = authorityFiles(tls);
  const { certificate, folders, key } = readAuthority(files, now, 0, readText);
  if (certificate !== undefined || folders.includes(files.cert)) return;
  const kept = authorityOf(leaves.map(readChain).join(''), key?.object);
  if (kept) writeWhole(files.cert, kept.pem, PUBLIC);
}

/** What cannot be read as a file has no chain; whoever writes it is told. @throws server.not-yours, base.* */
function readChain(path: string): string {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true ? readText(path) : '';
}

/** Another process takes milliseconds from the key to the certificate. */
async function comes(path: string): Promise<void> {
  for (let waited = 0; waited < 2000 && !existsSync(path); waited += 20) await delay(20);
}
