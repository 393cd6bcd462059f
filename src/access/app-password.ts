/** App passwords: made, hashed, revoked. */
import { foldCase } from '../base/case.ts';
import { createHmac, type KeyObject, randomBytes } from 'node:crypto';
import { base32 } from '../base/base32.ts';
import { Secret } from '../base/secret.ts';
import { newId } from '../store/id.ts';
import type { AppPassword } from '../store/types-access.ts';
import { type GivenDeps, hashKey, readLabel, revoking } from './given.ts';
import { readNetwork } from './network.ts';

export interface NewAppPassword extends Pick<
  AppPassword,
  'label' | 'mailboxes' | 'protocols' | 'networks' | 'outgoing' | 'dropOwnSentCopy'
> {
  /** Milliseconds since the epoch. */
  readonly expiresAt?: number | undefined;
}

/** 128 bits: no guessing, and therefore no slow hash (26 characters in base32). */
const OCTETS = 16;

/** Makes one and records it. The password itself is in the result and nowhere else. @throws access.network, access.label, store.* */
export async function createAppPassword(
  deps: GivenDeps,
  request: NewAppPassword,
): Promise<{ password: Secret; row: AppPassword }> {
  const label = readLabel(request.label);
  const password = new Secret(base32(randomBytes(OCTETS)));
  const row: AppPassword = {
    id: newId('apw'),
    label,
    hash: hashOf(await hashKey(deps.vault, 'app-password'), password),
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
  const data = { id, label, mailboxes, protocols, networks, expiresAt: row.expiresAt ?? null, dropOwnSentCopy };
  await deps.audit.along({ type: 'app-password.created', outcome: 'ok', data }, () =>
    deps.store.appPasswords.insert(row),
  );
  return { password, row };
}

export const revokeAppPassword = revoking('app-password');

/** HMAC-SHA-256, hex. Case, spaces and dashes do not matter: people type these on printers. */
export function hashOf(key: KeyObject, password: Secret): string {
  return createHmac('sha256', key).update(password.reveal().toLowerCase().replace(/[\s-]/g, '')).digest('hex');
}
