/**
 * The vault's header, one setting as JSON: which kind of source the master key has, how to tell a wrong key, and the root
 * key sealed under the master key. Everything else is derived from the root, so a new master key costs one row.
 */
import { createHmac, createSecretKey, hkdfSync, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import { decrypt, encrypt, VAULT_ID } from './envelope.ts';
import { vaultError } from './errors.ts';
import type { Cost } from './argon2.ts';
import type { KeySource } from './key-source.ts';

export const HEADER = 'vault.header';

export interface Header {
  readonly format: 1;
  readonly source: KeySource['kind'];
  readonly cost?: Cost;
  /** Counts master keys: 1, and one more with each rotation. */
  readonly masterKey: number;
  /** Tells a wrong master key from a damaged header: HMAC of a constant, hex. */
  readonly check: string;
  /** The root key sealed under the master key, base64url. */
  readonly root: string;
}

/** What the root key gives. The root itself is kept as an opaque key, never as octets that could be printed. */
export interface Keys {
  readonly root: KeyObject;
  readonly wrap: KeyObject;
  /** Public name of the vault, in every sealed value. */
  readonly id: Uint8Array;
}

export async function newHeader(source: KeySource, masterKey = 1, root?: KeyObject): Promise<string> {
  const cost = source.newCost();
  const key = await source.key(cost);
  const octets = root ? root.export() : randomBytes(32);
  const header: Header = {
    format: 1,
    source: source.kind,
    ...(cost ? { cost } : {}),
    masterKey,
    check: checkOf(key),
    root: Buffer.from(encrypt(key, rootContext(masterKey), octets)).toString('base64url'),
  };
  octets.fill(0);
  key.fill(0);
  return JSON.stringify(header);
}

/** @throws vault.locked, vault.exposed, vault.wrong-key, vault.damaged */
export async function unlock(text: string, source: KeySource): Promise<{ keys: Keys; header: Header }> {
  const header = parse(text);
  // A passphrase tried on a key-file vault (or the reverse) cannot be right, and saying so helps more than "wrong key".
  if ((header.source === 'passphrase') !== (source.kind === 'passphrase')) {
    throw vaultError(
      'vault.wrong-key',
      `the vault was made with a master key from a ${header.source}, not a ${source.kind}`,
      {
        hint: `set key.source in postern.yaml to ${header.source}, as when this database was set up`,
      },
    );
  }
  const key = await source.key(header.cost);
  try {
    if (!timingSafeEqual(Buffer.from(checkOf(key), 'hex'), Buffer.from(header.check, 'hex'))) {
      throw vaultError('vault.wrong-key', `the ${source.kind} does not hold the key this vault was made with`);
    }
    const octets = decrypt(key, rootContext(header.masterKey), Buffer.from(header.root, 'base64url'));
    if (octets?.length !== 32) throw vaultError('vault.damaged', "the vault's header does not open");
    const root = createSecretKey(octets);
    octets.fill(0);
    return {
      header,
      keys: {
        root,
        wrap: createSecretKey(expand(root, 'wrap', 32)),
        id: expand(root, 'id', VAULT_ID),
      },
    };
  } finally {
    key.fill(0);
  }
}

/** HKDF-SHA-256 (RFC 5869) of the root for one named use. */
export function expand(root: KeyObject, use: string, octets: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', root, new Uint8Array(), `postern vault ${use}`, octets));
}

function parse(text: string): Header {
  let header: Partial<Header> | null;
  try {
    header = JSON.parse(text) as Partial<Header> | null;
  } catch (cause) {
    throw vaultError('vault.damaged', "the vault's header is no JSON", { cause });
  }
  const { format, source, masterKey, check, root } = header ?? {};
  if (format !== 1 && typeof format === 'number') {
    throw vaultError('vault.damaged', `the vault's header has unknown format ${String(format)}`, {
      hint: 'a newer Postern wrote it: run that version or a later one',
    });
  }
  const whole =
    format === 1 &&
    typeof source === 'string' &&
    typeof masterKey === 'number' &&
    typeof check === 'string' &&
    /^[0-9a-f]{64}$/.test(check) &&
    typeof root === 'string';
  if (!whole) throw vaultError('vault.damaged', "the vault's header is incomplete");
  return header as Header;
}

function checkOf(key: Uint8Array): string {
  return createHmac('sha256', key).update('postern master key check').digest('hex');
}

function rootContext(masterKey: number): string {
  return `postern vault root ${masterKey}`;
}
