/** Standard Webhooks 1.0.0 (standardwebhooks.com): what a receiver checks before it believes a POST. */
import { createHmac } from 'node:crypto';
import type { Secret } from './secret.ts';

/** True for `whsec_` and 24 to 64 octets in base64. */
export function isWebhookSecret(secret: Secret): boolean {
  const octets = keyOf(secret)?.length ?? 0;
  return octets >= 24 && octets <= 64;
}

/**
 * The three headers. Several secrets give several signatures, so that one can be replaced while both are accepted.
 * @param at milliseconds since the epoch; receivers refuse what is older than a few minutes
 * @param secrets each one {@link isWebhookSecret}
 */
export function webhookHeaders(
  id: string,
  at: number,
  payload: string,
  secrets: readonly Secret[],
): Readonly<Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string>> {
  const timestamp = String(Math.floor(at / 1000));
  const signatures = secrets.map((secret) => {
    const key = keyOf(secret) ?? Buffer.alloc(0);
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${payload}`).digest('base64')}`;
  });
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}

function keyOf(secret: Secret): Buffer | undefined {
  const text = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret.reveal())?.[1];
  return text === undefined ? undefined : Buffer.from(text, 'base64');
}
