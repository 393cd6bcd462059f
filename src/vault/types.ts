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
  /** 32 octets derived from the vault's key for one purpose, for keyed hashes. Stable across master key rotation. */
  derive(purpose: string): Promise<Uint8Array>;
}
