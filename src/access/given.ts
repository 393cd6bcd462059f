/** What app passwords and API keys have in common: a random secret for one program, shown once, of which only a keyed hash is kept. */
import { createSecretKey, type KeyObject } from 'node:crypto';
import type { Audit } from '../audit/types.ts';
import type { Clock } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';
import { accessError } from './errors.ts';

export interface GivenDeps {
  readonly store: Store;
  readonly vault: Vault;
  readonly audit: Audit;
  readonly clock: Clock;
}

/** As the audit log and the vault call them. */
type Kind = 'app-password' | 'api-key';

/** @throws access.label */
export function readLabel(given: string): string {
  const label = given.trim();
  if (label !== '' && label.length <= 100) return label;
  throw accessError('access.label', 'the label must have 1 to 100 characters');
}

/** Ends the validity of one now; whoever lets it in hears of it within two seconds. False when there was nothing to revoke. */
export function revoking(kind: Kind) {
  return ({ audit, clock, store }: Omit<GivenDeps, 'vault'>, id: string): Promise<boolean> =>
    audit.along({ type: `${kind}.revoked`, outcome: 'ok', data: { id } }, () =>
      (kind === 'api-key' ? store.apiKeys : store.appPasswords).revoke(id, clock.now()),
    );
}

/** The key under which they are hashed: a stolen database alone allows not even guessing. */
export async function hashKey(vault: Vault, kind: Kind): Promise<KeyObject> {
  return createSecretKey(await vault.derive(kind));
}

/** "Last used" is for people who clean up: to the minute is enough, and a write for each use is not. */
const TOUCH_EVERY_MS = 60_000;

/** What notes when one was used. Never rejects. @param fact what the log calls its id */
export function touching(
  clock: Clock,
  log: Log,
  fact: string,
  write: (id: string, at: number) => Promise<void>,
): (id: string) => void {
  const touched = new Map<string, number>();
  return (id) => {
    const now = clock.now();
    if (now - (touched.get(id) ?? 0) < TOUCH_EVERY_MS) return;
    touched.set(id, now);
    write(id, now).catch((error: unknown) =>
      log.warn({ error: asError(error), [fact]: id }, 'the time of last use could not be written'),
    );
  };
}
