/** The files of an installation: who may read them, room on the disk, the gateway's certificate. */
import { existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { PosternError } from '../base/error.ts';
import { shellWord } from '../base/shell.ts';
import { leftoversOf } from '../vault/leftovers.ts';
import { checkPair, covers, namesOf, type PairFacts } from '../protocol/tls/pair.ts';
import { checkError } from './errors.ts';
import type { InstallationFacts } from './home-facts.ts';
import { DAY_MS, type Found, operatorWarning } from './step.ts';

export const MIB = 1 << 20;

/** @throws check.exposed */
export function judgeFolder(path: string): Found {
  return judgeOpenness(path, { says: `${path} is for its owner only`, facts: { path } }, 'chmod 700');
}

/** Others may neither write nor, where it holds secrets or mail, read. @throws check.exposed */
export function judgeOpenness(path: string, found: Found, command = 'chmod 600'): Found {
  const mode = statSync(path).mode & 0o777;
  const facts = { ...found.facts, mode: mode.toString(8) };
  if ((mode & 0o022) !== 0)
    throw checkError('check.exposed', `other users of this machine may change ${path} (mode ${mode.toString(8)})`, {
      detail: facts,
      hint: `${command} ${path}`,
    });
  if ((mode & 0o055) === 0) return { ...found, facts };
  return {
    says: `other users of this machine may read ${path} (mode ${mode.toString(8)})`,
    facts,
    warning: operatorWarning('home.readable', `other users of this machine may read ${path}`, {
      do: 'let only its owner read it',
      run: `${command} ${path}`,
    }),
  };
}

/** The vault refuses an exposed key as well; this says so before it matters. @throws check.exposed */
export function judgeKey({
  keyPath: path,
  databasePath,
  passphraseWeakness,
}: Pick<InstallationFacts, 'keyPath' | 'databasePath' | 'passphraseWeakness'>): Found {
  if (passphraseWeakness !== undefined)
    return {
      says: `comes from a passphrase that can be guessed: ${passphraseWeakness}`,
      facts: { file: null, passphrase: 'weak' },
      warning: operatorWarning(
        'home.passphrase-weak',
        `whoever has a copy of the database can guess the passphrase: ${passphraseWeakness}`,
        {
          do: 'use a longer passphrase, or a key file, at the next new installation; keep copies of this database as close as its passphrase until then',
          run: 'openssl rand -base64 24',
        },
      ),
    };
  if (path === undefined) return { says: 'does not lie in a file of this installation', facts: { file: null } };
  if (!existsSync(path))
    throw checkError('check.key-missing', `there is no master key ${path}`, {
      detail: { file: path },
      // A new key opens nothing of a database that is there.
      ...(databasePath !== undefined && existsSync(databasePath)
        ? { hint: `restore the key file from your backup to ${path}, or correct key.path in postern.yaml` }
        : {}),
    });
  const mode = statSync(path).mode & 0o777;
  const copies = leftoversOf(path);
  const facts = { file: path, mode: mode.toString(8), ...(copies.length > 0 && { copies }) };
  if (copies.length > 0 && (mode & 0o077) === 0)
    return {
      says: `${path} is for its owner only, and beside it is what an interrupted start left of it`,
      facts,
      warning: operatorWarning(
        'home.key-copy',
        `${copies.join(', ')} may be the master key under another name: a backup that leaves the key out takes it along`,
        { do: 'remove it while nothing of Postern starts', run: `rm ${copies.map(shellWord).join(' ')}` },
      ),
    };
  if ((mode & 0o077) === 0) {
    const isBeside = databasePath !== undefined && dirname(databasePath) === dirname(path);
    return {
      says: `${path} is for its owner only${isBeside ? '; it lies beside the database' : ''}`,
      facts: { ...facts, besideDatabase: isBeside },
      ...(isBeside
        ? {
            notes: [
              `a backup of ${dirname(path)} holds the database and the key that opens it: leave the key out of it and keep it elsewhere, or set key.path`,
            ],
          }
        : {}),
    };
  }
  throw checkError('check.exposed', `other users of this machine may read the master key (mode ${mode.toString(8)})`, {
    detail: facts,
    hint: `chmod 600 ${path}`,
  });
}

const LEAST_MIB = 100;
const FEW_MIB = 1024;

/** @throws check.disk */
export function judgeDisk(...folders: readonly string[]): Found {
  const free = Math.min(...folders.map((folder) => freeMib(folder)));
  const facts = { freeMiB: free };
  const says = `${free} MiB free`;
  if (free < LEAST_MIB)
    throw checkError('check.disk', `only ${free} MiB are free on the disk of ${folders[0]}`, { detail: facts });
  if (free >= FEW_MIB) return { says, facts };
  return {
    says,
    facts,
    warning: operatorWarning('home.disk-low', `only ${free} MiB are free on the disk of the database`, {
      do: 'make room',
      run: `df -h ${folders[0]}`,
    }),
  };
}

function freeMib(folder: string): number {
  // The configuration may have a folder that is not there yet: it would be made in the nearest one that is.
  if (!existsSync(folder) && dirname(folder) !== folder) return freeMib(dirname(folder));
  const { bavail, bsize } = statfsSync(folder);
  return Math.floor((bavail * bsize) / MIB);
}

/** @throws check.certificate */
function wholePair(cert: string, key: string): PairFacts {
  try {
    return checkPair({ cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = error instanceof PosternError ? message : `a file cannot be read (${code ?? message})`;
    throw checkError('check.certificate', `the gateway’s certificate cannot be used: ${why}`, {
      detail: { file: cert, key },
      hint: `put a whole chain into ${cert} and its key into ${key}; a running gateway keeps the pair from before until then`,
      cause: error,
    });
  }
}

/** @throws check.certificate */
export function judgeCertificate(installation: InstallationFacts, now: number): Found {
  const { certificateKeyPath, certificateNames, certificatePath, ownCertificate } = installation;
  const stat = statSync(certificatePath, { throwIfNoEntry: false });
  if (!stat) {
    if (ownCertificate) return { says: 'made at the first `postern serve`', facts: { file: certificatePath } };
    throw checkError('check.certificate', `there is no certificate ${certificatePath}`, {
      hint: `see tls.certificate in postern.yaml: ls -l ${certificatePath}`,
    });
  }
  const { from, leaf: certificate, until } = wholePair(certificatePath, certificateKeyPath);
  const days = Math.floor((until - now) / DAY_MS);
  const facts = {
    file: certificatePath,
    from: new Date(from).toISOString(),
    until: new Date(until).toISOString(),
    names: namesOf(certificate).join(', '),
  };
  const authority = installation.authority?.problem(now);
  if (days < 0)
    throw checkError(
      'check.certificate',
      `the gateway’s certificate in ${certificatePath} has expired: it was valid until ${facts.until}`,
      {
        detail: facts,
        ...(authority && { hint: authority.hint }),
      },
    );
  if (from > now)
    throw checkError(
      'check.certificate',
      `the gateway’s certificate is not valid before ${facts.from}, and mail programs refuse it until then`,
      {
        detail: facts,
        hint: ownCertificate
          ? 'check the date of this machine (date), correct it if it is wrong (timedatectl), and start the gateway again: it makes a new certificate'
          : 'check the date of this machine (date); if it is right, put a certificate in place that is valid now',
      },
    );
  const says = `valid for ${days} days`;
  if (authority !== undefined)
    return {
      says: `${says}, but cannot be renewed`,
      facts: { ...facts, authority: authority.says },
      warning: operatorWarning(
        'home.certificate-authority',
        `${authority.says}; the certificate in use serves until ${facts.until.slice(0, 10)}, under no other name`,
        { do: authority.hint },
      ),
    };
  const missing = certificateNames.filter((name) => !covers(certificate, name));
  if (missing.length > 0)
    return {
      says: `${says}, but not for ${missing.join(', ')}`,
      facts: { ...facts, missing },
      warning: operatorWarning(
        'home.certificate-names',
        `the gateway’s certificate is not for ${missing.join(', ')}: programs that connect to this name refuse it`,
        ownCertificate
          ? {
              do: 'start the gateway again; it makes a certificate for its names, from the same local CA',
              run: 'postern serve',
            }
          : { do: 'get a certificate for this name, or set `hostname` in postern.yaml to the name programs use' },
      ),
    };
  const copies = leftoversOf(certificateKeyPath);
  const notes =
    copies.length === 0 ? {} : { notes: [`may be copies of its key, keep or remove them: ${copies.join(', ')}`] };
  if (days >= (ownCertificate ? 7 : 14)) return { says, facts, ...notes };
  return {
    says,
    facts,
    ...notes,
    warning: operatorWarning(
      'home.certificate-ends',
      `the gateway’s certificate ends in ${days} days`,
      ownCertificate
        ? { do: 'keep the gateway running; it renews the certificate', run: 'postern serve' }
        : { do: 'renew it; the gateway takes the new files up by itself' },
    ),
  };
}
