/** API keys: made, hashed, revoked. What app passwords are to mail programs, they are to users of the HTTP API. */
import { foldCase } from '../base/case.ts';
import { createHmac, type KeyObject, randomBytes } from 'node:crypto';
import { base32 } from '../base/base32.ts';
import { Secret } from '../base/secret.ts';
import { newId } from '../store/id.ts';
import { API_ACTIONS, type ApiAction, type ApiKey } from '../store/types-api.ts';
import { accessError } from './errors.ts';
import { type GivenDeps, hashKey, readLabel, revoking } from './given.ts';
import { readNetwork } from './network.ts';

export interface NewApiKey extends Pick<ApiKey, 'label' | 'mailboxes' | 'networks'> {
  /** Names of {@link API_ACTIONS}, a resource as `messages:*`, or `*`. */
  readonly actions: readonly string[];
  /** Requests a minute. */
  readonly rate?: number | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAt?: number | undefined;
}

/** 160 bits: no guessing, and therefore no slow hash (32 characters in base32). */
const OCTETS = 20;
/** Lets people and secret scanners recognise a key that lies around. */
export const API_KEY_PREFIX = 'postern_';

/** Makes one and records it. The key itself is in the result and nowhere else. @throws access.label, access.actions, access.mailboxes, access.network, store.* */
export async function createApiKey(
  deps: GivenDeps,
  request: NewApiKey,
): Promise<{ readonly key: Secret; readonly row: ApiKey }> {
  const label = readLabel(request.label);
  if (request.mailboxes.length === 0) throw accessError('access.mailboxes', 'the key opens no mailbox');
  const key = new Secret(`${API_KEY_PREFIX}${base32(randomBytes(OCTETS))}`);
  const row: ApiKey = {
    id: newId('key'),
    label,
    hash: apiKeyHash(await hashKey(deps.vault, 'api-key'), key),
    actions: readActions(request.actions),
    mailboxes: request.mailboxes.includes('*') ? ['*'] : request.mailboxes.map((address) => foldCase(address)),
    networks: request.networks.map(readNetwork),
    rate: request.rate,
    createdAt: deps.clock.now(),
    expiresAt: request.expiresAt,
    revokedAt: undefined,
    lastUsedAt: undefined,
  };
  const { id, actions, mailboxes, networks } = row;
  const data = { id, label, actions, mailboxes, networks, rate: row.rate ?? null, expiresAt: row.expiresAt ?? null };
  await deps.audit.along({ type: 'api-key.created', outcome: 'ok', data }, () => deps.store.apiKeys.insert(row));
  return { key, row };
}

export const revokeApiKey = revoking('api-key');

/** HMAC-SHA-256, hex. */
export function apiKeyHash(key: KeyObject, secret: Secret): string {
  return createHmac('sha256', key).update(secret.reveal().trim()).digest('hex');
}

function readActions(names: readonly string[]): readonly (ApiAction | '*')[] {
  if (names.length === 0) throw accessError('access.actions', 'the key allows nothing');
  if (names.includes('*')) return ['*'];
  const found = names.flatMap((name) => {
    const actions = API_ACTIONS.filter((action) => action === name || `${action.split(':')[0]!}:*` === name);
    if (actions.length === 0) throw accessError('access.actions', `there is no action ${name}`);
    return actions;
  });
  return [...new Set(found)];
}
