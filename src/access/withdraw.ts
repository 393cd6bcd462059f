/** What ends with a mailbox: whoever was let into it was let into that consent, and not into another of the same address. */
import { catchAllOf } from '../store/table/mailboxes.ts';
import type { Withdrawal } from '../store/types-api.ts';
import type { GivenDeps } from './given.ts';
import { validityOf } from './validity.ts';

export interface Withdrawn {
  /** App passwords and API keys that named it; `revoked` where they named nothing else. */
  readonly appPasswords: readonly Withdrawal[];
  readonly apiKeys: readonly Withdrawal[];
  /** Ids of webhooks that named it. */
  readonly webhooks: readonly string[];
}

type Deps = Pick<GivenDeps, 'store' | 'audit' | 'clock'>;

/**
 * Takes a mailbox that was removed out of everything that names it. Of `*@domain` also addresses of the domain that have no
 * mailbox of their own. What opens every mailbox (`*`) stays. @throws store.unavailable
 */
export async function withdrawMailbox({ store, audit, clock }: Deps, address: string): Promise<Withdrawn> {
  const [passwords, keys, webhooks] = await Promise.all([
    store.appPasswords.list(),
    store.apiKeys.list(),
    store.webhooks.list(),
  ]);
  const known = new Set((await store.mailboxes.list()).map((one) => one.address));
  const named = new Set([...passwords, ...keys, ...webhooks].flatMap(({ mailboxes }) => mailboxes));
  const names = [...named].filter((name) => name === address || (catchAllOf(name) === address && !known.has(name)));
  if (names.length === 0) return { appPasswords: [], apiKeys: [], webhooks: [] };
  const now = clock.now();
  const appPasswords = await store.appPasswords.withdraw(names, now);
  const apiKeys = await store.apiKeys.withdraw(names, now);
  const told = webhooks.filter(({ mailboxes }) => mailboxes.some((name) => names.includes(name)));
  for (const { id, mailboxes } of told) {
    const left = mailboxes.filter((name) => !names.includes(name));
    await store.webhooks.update(id, { mailboxes: left });
    if (left.length === 0) await store.webhooks.disable(id, now, `its mailbox ${address} was removed`);
  }
  for (const [kind, holders] of [['app-password', appPasswords] as const, ['api-key', apiKeys] as const])
    for (const { id, label, revoked } of holders)
      await audit.record({
        type: `${kind}.${revoked ? 'revoked' : 'narrowed'}`,
        outcome: 'ok',
        mailbox: address,
        data: { id, label, reason: 'mailbox-removed' },
      });
  return { appPasswords, apiKeys, webhooks: told.map(({ id }) => id) };
}

/** What names an address, or its whole domain, and so opens it as soon as it is there. */
export async function openersOf({ store, clock }: Omit<Deps, 'audit'>, address: string): Promise<readonly string[]> {
  const rows = [...(await store.appPasswords.list()), ...(await store.apiKeys.list())];
  const names = [address, catchAllOf(address) ?? address];
  return rows
    .filter((row) => validityOf(row, clock.now()) === 'valid')
    .filter(({ mailboxes }) => mailboxes.some((name) => names.includes(name)))
    .map(({ id, label }) => `${id} (${label})`);
}
