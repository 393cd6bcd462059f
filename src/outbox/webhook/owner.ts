/** Whose webhooks tell of events: a webhook is told what its API key might read, and no longer than that key holds. */
import type { Audit } from '../../audit/types.ts';
import { allows } from '../../access/api-sign-in.ts';
import type { Clock } from '../../base/clock.ts';
import type { ApiKey, Webhook } from '../../store/types-api.ts';
import type { Store } from '../../store/types.ts';

/** Why a webhook may tell nothing any more; undefined: it may. One of an earlier version has no key, and goes on. */
export function rightLost({ apiKeyId }: Webhook, key: ApiKey | undefined, now: number): string | undefined {
  if (apiKeyId === undefined) return undefined;
  if (key === undefined) return `its API key ${apiKeyId} is gone`;
  if (key.revokedAt !== undefined) return `its API key ${apiKeyId} was revoked`;
  if ((key.expiresAt ?? Infinity) <= now) return `its API key ${apiKeyId} has expired`;
  return allows(key, 'events:read') ? undefined : `its API key ${apiKeyId} does not allow events:read`;
}

export interface DisableDeps {
  readonly store: Pick<Store, 'webhooks' | 'apiKeys'>;
  readonly clock: Clock;
  readonly audit?: Pick<Audit, 'note'>;
}

/** Switches off what has lost its right; each once, whichever process does it. @returns those it did @throws store.unavailable */
export async function disableWithoutRight(
  { store, clock, audit }: DisableDeps,
  webhooks: readonly Webhook[],
  keys: ReadonlyMap<string, ApiKey>,
): Promise<readonly Webhook[]> {
  const done: Webhook[] = [];
  for (const webhook of webhooks) {
    const { id, apiKeyId, url, state } = webhook;
    if (state.type !== 'enabled') continue;
    const reason = rightLost(webhook, keys.get(apiKeyId ?? ''), clock.now());
    if (reason === undefined || !(await store.webhooks.disable(id, clock.now(), reason))) continue;
    audit?.note({
      type: 'api.changed',
      outcome: 'ok',
      data: { what: 'webhook.disabled', id, url, apiKeyId: apiKeyId ?? null, reason },
    });
    done.push(webhook);
  }
  return done;
}
