/** Opening the vault, and giving it another master key. */
import type { KeyObject } from 'node:crypto';
import { Secret } from '../base/secret.ts';
import { decrypt, encrypt, isShared, openDataKey, openEnvelope, sealDataKey, sealEnvelope } from './envelope.ts';
import { expand, HEADER, type Keys, newHeader, unlock } from './header.ts';
import type { KeySource } from './key-source.ts';
import { vaultError } from './errors.ts';
import type { DataKey, Vault } from './types.ts';

/** Where the header lives; the store's settings fit. */
export interface VaultSettings {
  get(name: string): Promise<string | undefined>;
  /** Sets only if absent, and gives what is there afterwards. */
  setOnce(name: string, value: string): Promise<string>;
  set(name: string, value: string): Promise<void>;
}

/**
 * Opens the vault of these settings, making it on the first call ever; of several processes that do so at once one wins and
 * all use its vault. @throws vault.locked, vault.exposed, vault.wrong-key, vault.damaged
 */
export async function openVault(settings: VaultSettings, source: KeySource): Promise<Vault> {
  const header = (await settings.get(HEADER)) ?? (await settings.setOnce(HEADER, await newHeader(source)));
  const { keys } = await unlock(header, source);
  return vaultOf(keys);
}

/**
 * Seals the root key under the key of `next` instead of `current`, in one write. Nothing else is sealed again and running
 * processes go on undisturbed; they need `next` at their next start. Keep the old key as long as old backups are to open.
 * This is for a master key that may have leaked by itself; whoever had the database as well has read it.
 * @throws vault.locked when there is no vault yet, and as {@link openVault} for both sources
 */
export async function rotateMasterKey(settings: VaultSettings, current: KeySource, next: KeySource): Promise<void> {
  const text = await settings.get(HEADER);
  if (text === undefined) throw vaultError('vault.locked', 'there is no vault yet whose key could be changed');
  const { keys, header } = await unlock(text, current);
  const replaced = await newHeader(next, header.masterKey + 1, keys.root);
  // Proves that the new key opens what is about to be the only way in.
  await unlock(replaced, next);
  await settings.set(HEADER, replaced);
}

/**
 * Records that share a data key: sealing it costs as much as sealing a message does. Nonces are random, and so many of them
 * under one key are far from the 2^32 that NIST SP 800-38D §8.3 allows.
 */
const RECORDS_A_KEY = 1000;

function vaultOf({ root, wrap, id }: Keys): Vault {
  /** By kind of record. */
  const current = new Map<string, SealedKey & { left: number }>();
  const opened = new Map<string, SealedKey>();
  return {
    async seal(record, plain) {
      return sealEnvelope(wrap, id, record, Buffer.from(plain.reveal()));
    },
    async open(record, sealed) {
      const plain = openEnvelope(wrap, id, record, sealed);
      const secret = new Secret(plain.toString());
      plain.fill(0);
      return secret;
    },
    async newDataKey(record) {
      const kind = kindOf(record);
      let shared = current.get(kind);
      if (shared === undefined || shared.left === 0) {
        shared = { ...sealDataKey(wrap, id, kind), left: RECORDS_A_KEY };
        current.set(kind, shared);
      }
      shared.left -= 1;
      return { sealed: shared.sealed, key: dataKeyOf(record, shared.key) };
    },
    async openDataKey(record, sealed) {
      const kind = kindOf(record);
      const last = opened.get(kind);
      if (last && Buffer.compare(last.sealed, sealed) === 0) return dataKeyOf(record, last.key);
      const key = openDataKey(wrap, id, record, kind, sealed);
      // A key of this record alone would be asked for once.
      if (isShared(sealed)) opened.set(kind, { sealed, key });
      return dataKeyOf(record, key);
    },
    async derive(purpose) {
      return expand(root, `derive ${purpose}`, 32);
    },
  };
}

interface SealedKey {
  readonly sealed: Uint8Array;
  readonly key: KeyObject;
}

/** `message` of `message/<id>`. */
const kindOf = (record: string): string => record.split('/', 1)[0]!;

function dataKeyOf(record: string, key: KeyObject): DataKey {
  return {
    seal: (part, plain, into) => encrypt(key, `${record} ${part}`, plain, into),
    open(part, sealed) {
      const plain = decrypt(key, `${record} ${part}`, sealed);
      if (!plain) throw vaultError('vault.damaged', `part ${part} of ${record} does not open`);
      return plain;
    },
  };
}
