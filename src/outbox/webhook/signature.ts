/** Signatures of webhooks: Standard Webhooks 1.0 (https://www.standardwebhooks.com), symmetric, with several live secrets. */
import { createHmac, randomBytes } from 'node:crypto';
import { Secret } from '../../base/secret.ts';
import type { Webhook } from '../../store/types-api.ts';
import type { Vault } from '../../vault/types.ts';

export interface WebhookSecret {
  /** `whsec_` and base64 of 24 to 64 octets. */
  readonly secret: Secret;
  /** When it is no longer signed with, milliseconds since the epoch; the newest has no end. */
  readonly expiresAt: number | undefined;
}

const PREFIX = 'whsec_';
const OCTETS = 32;

export function newWebhookSecret(): Secret {
  return new Secret(`${PREFIX}${randomBytes(OCTETS).toString('base64')}`);
}

/**
 * The headers of one try. Every secret that is alive signs, so that a receiver that knows any of them is content.
 * @param at seconds since the epoch, which receivers hold against their own clock to refuse what is replayed
 */
export function signedHeaders(
  secrets: readonly WebhookSecret[],
  id: string,
  at: number,
  payload: string,
): { readonly 'webhook-id': string; readonly 'webhook-timestamp': string; readonly 'webhook-signature': string } {
  const signatures = secrets.map(({ secret }) => {
    const key = Buffer.from(secret.reveal().slice(PREFIX.length), 'base64');
    return `v1,${createHmac('sha256', key).update(`${id}.${at}.${payload}`).digest('base64')}`;
  });
  return { 'webhook-id': id, 'webhook-timestamp': String(at), 'webhook-signature': signatures.join(' ') };
}

const recordOf = (webhookId: string): string => `webhook/${webhookId}/secrets`;

/** @throws vault.locked */
export function sealSecrets(vault: Vault, webhookId: string, secrets: readonly WebhookSecret[]): Promise<Uint8Array> {
  const plain = secrets.map(({ secret, expiresAt }) => ({ secret: secret.reveal(), expiresAt }));
  return vault.seal(recordOf(webhookId), new Secret(JSON.stringify(plain)));
}

/** The secrets that are alive at `now`, the newest first. @throws vault.* */
export async function openSecrets(
  vault: Vault,
  { id, secrets }: Pick<Webhook, 'id' | 'secrets'>,
  now: number,
): Promise<readonly WebhookSecret[]> {
  const plain = JSON.parse((await vault.open(recordOf(id), secrets)).reveal()) as readonly {
    readonly secret: string;
    readonly expiresAt?: number;
  }[];
  return plain
    .filter(({ expiresAt }) => expiresAt === undefined || expiresAt > now)
    .map(({ secret, expiresAt }) => ({ secret: new Secret(secret), expiresAt }));
}
