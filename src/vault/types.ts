/** The vault's port: what sealing offers to the other rooms. */
import type { Secret } from '../base/secret.ts';

/**
 * Envelope encryption (design note `docs/decisions/002-vault.md`): a fresh AES-256-GCM data key per record, wrapped by the
 * master key of a key source. `record` names what is sealed (`grant/<id>/tokens`) and is authenticated, so a sealed value
 * moved to another record does not open.
 */
export interface Vault {
  /** Seals `plain` for this record. @throws vault.locked */
  seal(record: string, plain: Secret): Promise<Uint8Array>;
  /** @throws vault.locked, vault.wrong-key, vault.damaged */
  open(record: string, sealed: Uint8Array): Promise<Secret>;
  /**
   * A key for a record too long to be sealed at once, `<kind>/<id>`; it is stored as `sealed` beside what it encrypts. Records
   * of one kind made after each other share keys. @throws vault.locked
   */
  newDataKey(record: string): Promise<{ readonly sealed: Uint8Array; readonly key: DataKey }>;
  /** @throws vault.locked, vault.wrong-key, vault.damaged */
  openDataKey(record: string, sealed: Uint8Array): Promise<DataKey>;
  /** 32 octets derived from the vault's key for one purpose, for keyed hashes. Stable across master key rotation. */
  derive(purpose: string): Promise<Uint8Array>;
}

/** Encrypts the parts of one record. `part` names a part (`3 of 7`) and is authenticated, so that parts cannot change places. */
export interface DataKey {
  /** @param into memory for the result, at least `plain.length + SEAL` octets, which whoever seals much uses again */
  seal(part: string, plain: Uint8Array, into?: Uint8Array): Uint8Array;
  /** @throws vault.damaged */
  open(part: string, sealed: Uint8Array): Uint8Array;
}
