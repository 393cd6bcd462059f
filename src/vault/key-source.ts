/** Where the master key comes from. */
import { randomBytes } from 'node:crypto';
import { nameBeside } from '../base/replace-file.ts';
import { constants } from 'node:fs';
import { link, open, rm, type FileHandle } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { makeFolder } from '../base/folder.ts';
import { machineError } from '../base/error.ts';
import { giveToOwner } from '../base/owner.ts';
import type { Secret } from '../base/secret.ts';
import { argon2id, type Cost, newCost } from './argon2.ts';
import { weaknessOf } from './passphrase.ts';
import { vaultError } from './errors.ts';

/** One place a master key can be had from. */
export interface KeySource {
  readonly kind: 'file' | 'passphrase' | 'environment' | 'credential';
  /** The cost a new vault is to be made with; undefined when the key needs no derivation. @throws vault.weak-passphrase */
  newCost(): Cost | undefined;
  /** The 32 octets. `cost` is what {@link newCost} gave when the vault was made. @throws vault.locked, vault.exposed */
  key(cost: Cost | undefined): Promise<Uint8Array>;
}

/** A file with 32 octets as base64, base64url or hex (`openssl rand -base64 32` makes one), readable by its owner only. */
export function fileKey(path: string): KeySource {
  return plain('file', () => readKeyFile(path, 'private'));
}

/**
 * A systemd credential (`LoadCredential=`, `SetCredentialEncrypted=`), by absolute path or by its name below
 * $CREDENTIALS_DIRECTORY. systemd keeps the directory private and unswappable, so the file's own mode is not judged.
 */
export function credentialKey(path: string): KeySource {
  return plain('credential', async () => {
    if (isAbsolute(path)) return readKeyFile(path, 'any');
    const directory = process.env['CREDENTIALS_DIRECTORY'];
    if (directory === undefined) {
      throw vaultError('vault.locked', `there is no $CREDENTIALS_DIRECTORY to find the credential ${path} in`, {
        hint: `start Postern as a systemd service with LoadCredential=${path}:/path/to/key`,
      });
    }
    return readKeyFile(join(directory, path), 'any');
  });
}

/** 32 octets as base64, base64url or hex, e.g. from POSTERN_MASTER_KEY. */
export function environmentKey(value: Secret): KeySource {
  // Async, so that a malformed value is a rejection like every other failure of `key`.
  return plain('environment', async () => readKey(Buffer.from(value.reveal()), 'the variable'));
}

/**
 * A passphrase, stretched by argon2id (RFC 9106) with a salt kept in the vault's header. A weak one opens what was made with it,
 * but nothing new is made with it, unless `insecureWeak`.
 */
export function passphraseKey(passphrase: Secret, options: { readonly insecureWeak?: boolean } = {}): KeySource {
  return {
    kind: 'passphrase',
    newCost() {
      const weakness = weaknessOf(passphrase.reveal());
      if (weakness !== undefined && passphrase.reveal() !== '' && !options.insecureWeak)
        throw vaultError('vault.weak-passphrase', `the passphrase is too weak: ${weakness}`);
      return newCost();
    },
    async key(cost) {
      if (passphrase.reveal() === '') throw vaultError('vault.locked', 'the passphrase is empty');
      if (cost === undefined) throw vaultError('vault.wrong-key', 'the vault was not made with a passphrase');
      return argon2id(passphrase, cost);
    },
  };
}

/**
 * Makes a new key file, mode 0600, on disk for good when the promise resolves. Never replaces one that is there: the key in
 * it may be the only one that opens a database. @throws vault.locked
 */
export async function createKeyFile(path: string): Promise<void> {
  // Whole under another name first: whoever is ended in between leaves no half key that stands in the way.
  const fresh = nameBeside(path, 'new');
  let file: FileHandle;
  try {
    makeFolder(dirname(path));
    file = await open(fresh, 'wx', 0o600);
  } catch (cause) {
    throw notMade(path, cause);
  }
  try {
    await file.writeFile(`${randomBytes(KEY_OCTETS).toString('base64url')}\n`);
    await file.sync();
    giveToOwner(fresh, path);
    // Unlike renaming, this never takes the place of a key that somebody else has made meanwhile.
    await link(fresh, path);
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException).code === 'EEXIST'
      ? notMade(path, cause)
      : (machineError(cause, path) ?? cause);
  } finally {
    await file.close();
    await rm(fresh, { force: true }).catch(() => undefined);
  }
  await syncDirectory(dirname(path));
}

function notMade(path: string, cause: unknown): Error {
  const isThere = (cause as NodeJS.ErrnoException).code === 'EEXIST';
  const ofMachine = isThere ? undefined : machineError(cause, path);
  return (
    ofMachine ??
    vaultError('vault.locked', `the key file ${path} cannot be made`, {
      hint: isThere
        ? 'there is one already, and it may be the only key to your database: use it, or choose another path'
        : `give the user Postern runs as the directory: chown $(id -un) ${dirname(path)}`,
      cause,
    })
  );
}

/** The name of a new file is in its directory, which has to reach the disk as well. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

const KEY_OCTETS = 32;
/** A key file is under a hundred octets; anything longer is the wrong file, and must not be read whole. */
const MOST = 4096;

function plain(kind: KeySource['kind'], key: () => Promise<Uint8Array>): KeySource {
  return { kind, newCost: () => undefined, key };
}

async function readKeyFile(path: string, mode: 'private' | 'any'): Promise<Uint8Array> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY);
  } catch (cause) {
    const ofMachine = machineError(cause, path);
    if (ofMachine) throw ofMachine;
    throw vaultError('vault.locked', `the key file ${path} cannot be read`, {
      hint:
        (cause as NodeJS.ErrnoException).code === 'ENOENT'
          ? 'restore it from your backup, or correct key.path in postern.yaml; only a new installation gets a new key: postern init'
          : `give it to the user Postern runs as: chown $(id -un) ${path} && chmod 600 ${path}`,
      cause,
    });
  }
  try {
    // Asked of the open file, not of its name, so that nobody swaps it in between.
    const stat = await file.stat();
    if (stat.isDirectory())
      throw vaultError('vault.locked', `the key file ${path} is a folder`, {
        hint: 'remove the folder and restore the key file from your backup, or correct key.path in postern.yaml: docs/backup.md',
      });
    const bits = stat.mode;
    if (mode === 'private' && (bits & 0o077) !== 0) {
      throw vaultError(
        'vault.exposed',
        `the key file ${path} can be read by others (mode ${(bits & 0o777).toString(8)})`,
        {
          hint: `chmod 600 ${path}`,
        },
      );
    }
    const buffer = Buffer.alloc(MOST);
    const { bytesRead } = await file.read(buffer, 0, MOST, 0);
    return readKey(buffer.subarray(0, bytesRead), `the key file ${path}`);
  } catch (error) {
    throw machineError(error, path) ?? error;
  } finally {
    await file.close();
  }
}

function readKey(bytes: Buffer, where: string): Uint8Array {
  // As made by `openssl rand 32`; no text form of 32 octets is this short.
  if (bytes.length === KEY_OCTETS) return Uint8Array.from(bytes);
  const text = bytes.toString('latin1').trim();
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  if (/^[\w+/-]{43}=?$/.test(text)) return Buffer.from(text, 'base64url');
  // Never how to make one: where a database is, a new key makes everything in it unreadable for good.
  throw vaultError(
    'vault.locked',
    bytes.length === 0 ? `${where} is empty` : `${where} does not hold a master key (32 octets as base64 or hex)`,
    {
      hint: 'restore the master key from your backup: docs/backup.md; only where no database was ever set up, remove what is there and make one: postern init',
      detail: { octets: bytes.length },
    },
  );
}
