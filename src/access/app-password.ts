/** App passwords: made, hashed, revoked. */
import { foldCase } from '../base/case.ts';
import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import type { Audit } from '../audit/types.ts';
import { base32 } from '../base/base32.ts';
import type { Clock } from '../base/clock.ts';
import { Secret } from '../base/secret.ts';
import { newId } from '../store/id.ts';
import type { Store } from '../store/types.ts';
import type { AppPassword } from '../store/types-access.ts';
import type { Protocol } from '../store/protocols.ts';
import type { Vault } from '../vault/types.ts';
import { accessError } from './errors.ts';
import { readNetwork } from './network.ts';

export interface NewAppPassword {
  readonly label: string;
  /** Addresses, or `['*']` for every mailbox. */
  readonly mailboxes: readonly string[];
  readonly protocols: readonly Protocol[];
  /** CIDR blocks; empty is anywhere. */
  readonly networks: readonly string[];
  /** How mail handed over with it leaves; default: as its mailbox says. */
  readonly outgoing?: 'direct' | 'outbox' | undefined;
  /** Its program's own copy in Sent is left out where the provider keeps one of the same message. */
  readonly dropOwnSentCopy?: boolean | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAt?: number | undefined;
}

export interface AppPasswordDeps {
  readonly store: Store;
  readonly vault: Vault;
  readonly audit: Audit;
  readonly clock: Clock;
}

/** 128 bits: no guessing, and therefore no slow hash (26 characters in base32). */
const OCTETS = 16;

/** Makes one and records it. The password itself is in the result and nowhere else. @throws access.network, access.label, store.* */
export async function createAppPassword(
  deps: AppPasswordDeps,
  request: NewAppPassword,
): Promise<{ password: Secret; row: AppPassword }> {
  const label = request.label.trim();
  if (label === '' || label.length > 100) throw accessError('access.label', 'the label must have 1 to 100 characters');
  const password = new Secret(base32(randomBytes(OCTETS)));
  const row: AppPassword = {
    id: newId('apw'),
    label,
    hash: hashOf(await hashKey(deps.vault), password),
    mailboxes: request.mailboxes.map((address) => foldCase(address)),
    protocols: request.protocols,
    networks: request.networks.map(readNetwork),
    ...(request.outgoing === undefined ? {} : { outgoing: request.outgoing }),
    ...(request.dropOwnSentCopy === true ? { dropOwnSentCopy: true } : {}),
    createdAt: deps.clock.now(),
    expiresAt: request.expiresAt,
    revokedAt: undefined,
    lastUsedAt: undefined,
  };
  const { id, mailboxes, protocols, networks, dropOwnSentCopy } = row;
  const data = {
    id,
    label,
    mailboxes,
    protocols,
    networks,
    expiresAt: row.expiresAt ?? null,
    dropOwnSentCopy,
  };
  await deps.audit.along({ type: 'app-password.created', outcome: 'ok', data }, () =>
    deps.store.appPasswords.insert(row),
  );
  return { password, row };
}

/** Ends its validity now; gateways hear of it within two seconds. False when there was nothing to revoke. */
export async function revokeAppPassword(deps: Omit<AppPasswordDeps, 'vault'>, id: string): Promise<boolean> {
  return deps.audit.along({ type: 'app-password.revoked', outcome: 'ok', data: { id } }, () =>
    deps.store.appPasswords.revoke(id, deps.clock.now()),
  );
}

/** The key under which app passwords are hashed: a stolen database alone allows not even guessing. */
export async function hashKey(vault: Vault): Promise<KeyObject> {
  return createSecretKey(await vault.derive('app-password'));
}

/** HMAC-SHA-256, hex. Case, spaces and dashes do not matter: people type these on printers. */
export function hashOf(key: KeyObject, password: Secret): string {
  return createHmac('sha256', key).update(password.reveal().toLowerCase().replace(/[\s-]/g, '')).digest('hex');
}
