/** Closing a mailbox, or a grant with all its mailboxes, on purpose, and opening it again with everything it had. */
import { shellWord } from '../base/shell.ts';
import { rowOf } from '../store/table/mailboxes.ts';
import type { Grant, GrantState, Mailbox } from '../store/types.ts';
import { oauthError } from './errors.ts';
import { openTokens } from './grant-tokens.ts';
import type { RenewalDeps } from './renewal-deps.ts';

export type SuspensionDeps = Pick<RenewalDeps, 'store' | 'vault' | 'clock' | 'emit'>;

/**
 * Nobody gets a token for this mailbox any more, and gateways end its sessions. Its grant, and the grant's other mailboxes, go on.
 * @throws oauth.suspension (it is already), store.*
 */
export async function suspendMailbox(deps: SuspensionDeps, mailbox: Mailbox, reason: string): Promise<void> {
  if (mailbox.suspended)
    throw oauthError('oauth.suspension', `${mailbox.address} is suspended already: ${mailbox.suspended.reason}`, {
      hint: `to open it again: postern mailbox resume ${shellWord(mailbox.address)}`,
    });
  await deps.store.mailboxes.update(mailbox.address, { suspended: { since: deps.clock.now(), reason } });
  await deps.emit({ type: 'mailbox.suspended', address: mailbox.address, reason });
}

/** @throws store.* */
export async function resumeMailbox(deps: SuspensionDeps, { address }: Mailbox): Promise<void> {
  await deps.store.mailboxes.update(address, { suspended: undefined });
  await deps.emit({ type: 'mailbox.resumed', address, reason: undefined });
}

/** Throws while the mailbox itself is closed on purpose. @throws oauth.suspended */
export function requireOpen(mailbox: Mailbox): void {
  const { address, suspended } = mailbox;
  if (!suspended) return;
  throw oauthError('oauth.suspended', `${address} is suspended: ${suspended.reason}`, {
    detail: { since: suspended.since, reason: suspended.reason },
    hint: `it was closed on purpose; whoever runs this gateway opens it again: postern mailbox resume ${shellWord(rowOf(mailbox))}`,
  });
}

/**
 * Nobody gets a token of this grant any more, it is not renewed, and gateways end the sessions of its mailboxes.
 * @throws oauth.suspension (it is already), store.*
 */
export async function suspendGrant(deps: SuspensionDeps, grantId: string, reason: string): Promise<void> {
  await change(deps, grantId, 'suspended', async (grant) => {
    if (grant.state.type === 'suspended') throw oauthError('oauth.suspension', 'the grant is suspended already');
    return { state: { type: 'suspended', since: deps.clock.now(), reason }, renewAt: undefined };
  });
}

/** What it had is tried at once; what ended meanwhile needs a new consent. @throws oauth.suspension (not suspended), store.* */
export async function resumeGrant(deps: SuspensionDeps, grantId: string): Promise<void> {
  await change(deps, grantId, 'resumed', async (grant) => {
    if (grant.state.type !== 'suspended') throw oauthError('oauth.suspension', 'the grant is not suspended');
    const tokens = await openTokens(deps.vault, grant);
    const now = deps.clock.now();
    const state: GrantState =
      tokens === undefined
        ? { type: 'pending', since: now }
        : { type: 'active', since: now, accessExpiresAt: tokens.expiresAt };
    return { state, renewAt: tokens === undefined ? undefined : now };
  });
}

async function change(
  { store, emit }: SuspensionDeps,
  grantId: string,
  reason: string,
  decide: (grant: Grant) => Promise<Pick<Grant, 'state' | 'renewAt'>>,
): Promise<void> {
  for (;;) {
    const grant = await store.grants.find(grantId);
    if (!grant) throw oauthError('oauth.misconfigured', 'the grant is gone');
    const decided = await decide(grant);
    // A renewal under way is newer: look again at what it wrote.
    if ((await store.grants.update(grantId, grant.generation, decided)) !== 'written') continue;
    // Gateways follow mailboxes, which change seldom; grants change with every renewal. One row says that something did.
    const [mailbox] = await store.mailboxes.byGrant(grantId);
    if (mailbox !== undefined) await store.mailboxes.update(mailbox.address, { grantId });
    const { state } = decided;
    return emit({
      type: 'grant.changed',
      grantId,
      from: grant.state.type,
      to: state.type,
      reason: state.type === 'suspended' ? state.reason : reason,
    });
  }
}
