/**
 * Sealed values, version 1: one octet of version, eight that name the vault, then the data key sealed under the vault's
 * key, then the value sealed under the data key. Each sealed part is 12 octets of nonce, the ciphertext, 16 of tag.
 * Version 2 is a data key alone that many records of one kind share; what it seals names its record by itself.
 */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
  randomBytes,
  randomFillSync,
} from 'node:crypto';
import { vaultError } from './errors.ts';

/** Octets of a vault's public name. */
export const VAULT_ID = 8;

const VERSION = 1;
const SHARED = 2;
const NONCE = 12;
const TAG = 16;
const KEY = 32;
const HEAD = 1 + VAULT_ID;
const WRAPPED = NONCE + KEY + TAG;
const NONCE_POOL = 256 * NONCE;

/** Octets that sealing adds. */
export const SEAL = NONCE + TAG;

/** AES-256-GCM with a random nonce and `context` authenticated. @param into where it goes, if it has the room */
export function encrypt(
  key: Uint8Array | KeyObject,
  context: string,
  plain: Uint8Array,
  // Memory of its own, not of Node's pool: what is sealed is sent to other threads, which copy what lies around it as well.
  into: Uint8Array = Buffer.allocUnsafeSlow(plain.length + SEAL),
): Uint8Array {
  encryptInto(into, 0, key, context, plain);
  return into.subarray(0, plain.length + SEAL);
}

/** Writes at `at` what {@link encrypt} gives. */
function encryptInto(
  sealed: Uint8Array,
  at: number,
  key: Uint8Array | KeyObject,
  context: string,
  plain: Uint8Array,
): void {
  const nonce = freshNonce();
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG }).setAAD(Buffer.from(context));
  sealed.set(nonce, at);
  // GCM is a stream: as many octets as went in, and none at the end.
  sealed.set(cipher.update(plain), at + NONCE);
  cipher.final();
  sealed.set(cipher.getAuthTag(), at + NONCE + plain.length);
}

/** Nonces are drawn many at a time: each draw is a call into OpenSSL. None is given out twice. */
const nonces = Buffer.alloc(NONCE_POOL);
let drawn: number = nonces.length;

function freshNonce(): Uint8Array {
  if (drawn + NONCE > nonces.length) {
    randomFillSync(nonces);
    drawn = 0;
  }
  return nonces.subarray(drawn, (drawn += NONCE));
}

/** The reverse; undefined when key, context or any bit differs from sealing. */
export function decrypt(key: Uint8Array | KeyObject, context: string, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length < NONCE + TAG) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE), { authTagLength: TAG });
  decipher.setAAD(Buffer.from(context)).setAuthTag(sealed.subarray(-TAG));
  const plain = decipher.update(sealed.subarray(NONCE, -TAG));
  try {
    return Buffer.concat([plain, decipher.final()]);
  } catch {
    // `final` throws for one reason only: the tag does not fit. The caller knows what that means.
    return undefined;
  }
}

/** Seals `plain` for `record` under a fresh data key. */
export function sealEnvelope(wrapKey: KeyObject, vaultId: Uint8Array, record: string, plain: Uint8Array): Uint8Array {
  const dataKey = randomBytes(KEY);
  const sealed = Buffer.concat([
    Buffer.of(VERSION),
    vaultId,
    encrypt(wrapKey, context('key', record), dataKey),
    encrypt(dataKey, context('value', record), plain),
  ]);
  dataKey.fill(0);
  return sealed;
}

/** @throws vault.wrong-key (sealed by another vault), vault.damaged (altered, cut, or moved from another record) */
export function openEnvelope(wrapKey: KeyObject, vaultId: Uint8Array, record: string, sealed: Uint8Array): Buffer {
  checkHead(vaultId, record, sealed, HEAD + WRAPPED + NONCE + TAG);
  const dataKey = decrypt(wrapKey, context('key', record), sealed.subarray(HEAD, HEAD + WRAPPED));
  const plain = dataKey && decrypt(dataKey, context('value', record), sealed.subarray(HEAD + WRAPPED));
  dataKey?.fill(0);
  if (!plain) throw vaultError('vault.damaged', `the sealed value of ${record} does not open`);
  return plain;
}

/** A fresh data key and the same sealed for all records of `kind`. */
export function sealDataKey(
  wrapKey: KeyObject,
  vaultId: Uint8Array,
  kind: string,
): { readonly sealed: Uint8Array; readonly key: KeyObject } {
  const octets = randomBytes(KEY);
  const sealed = Buffer.allocUnsafeSlow(HEAD + WRAPPED);
  sealed[0] = SHARED;
  sealed.set(vaultId, 1);
  encryptInto(sealed, HEAD, wrapKey, context('shared key', kind), octets);
  const key = createSecretKey(octets);
  octets.fill(0);
  return { sealed, key };
}

/** True for a data key that is not of one record alone. */
export const isShared = (sealed: Uint8Array): boolean => sealed[0] === SHARED;

/**
 * The data key of `record`, or of all records of its kind. @throws vault.wrong-key, vault.damaged
 */
export function openDataKey(
  wrapKey: KeyObject,
  vaultId: Uint8Array,
  record: string,
  kind: string,
  sealed: Uint8Array,
): KeyObject {
  const shared = isShared(sealed);
  checkHead(vaultId, record, sealed, HEAD + WRAPPED, shared ? SHARED : VERSION);
  const named = shared ? context('shared key', kind) : context('key', record);
  const octets = decrypt(wrapKey, named, sealed.subarray(HEAD));
  if (!octets) throw vaultError('vault.damaged', `the key of ${record} does not open`);
  const key = createSecretKey(octets);
  octets.fill(0);
  return key;
}

function checkHead(vaultId: Uint8Array, record: string, sealed: Uint8Array, least: number, version = VERSION): void {
  if (sealed.length < least) {
    throw vaultError('vault.damaged', `the sealed value of ${record} is too short`);
  }
  if (sealed[0] !== version) {
    throw vaultError('vault.damaged', `the sealed value of ${record} has unknown version ${sealed[0]}`, {
      hint: 'it was written by a newer Postern, or it is damaged: run the newest version, or restore the last backup',
    });
  }
  if (Buffer.compare(sealed.subarray(1, HEAD), vaultId) !== 0) {
    throw vaultError('vault.wrong-key', `the value of ${record} was sealed by another vault`);
  }
}

function context(part: 'key' | 'shared key' | 'value', record: string): string {
  return `postern sealed ${part} ${VERSION} ${record}`;
}
