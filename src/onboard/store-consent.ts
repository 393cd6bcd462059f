/** Storing what a consent gave: the grant and its mailbox, unless somebody closed or removed them during the sign-in. */
import { shellWord } from '../base/shell.ts';
import { newId } from '../store/id.ts';
import type { Flow, Grant, Mailbox, Store } from '../store/types.ts';
import type { ConnectDeps, ConnectRequest } from './connect-request.ts';
import type { TokenAnswer } from '../oauth/engine.ts';
import { oauthError } from '../oauth/errors.ts';
import { sealTokens, tokensOf } from '../oauth/grant-tokens.ts';
import { afterConsent } from '../oauth/renewal-record.ts';
import { requireOpen } from '../oauth/suspension.ts';

export interface NewTokens {
  readonly applicationId: string;
  readonly flow: Flow;
  readonly identity: string;
  readonly subject: string | undefined;
  readonly scopes: readonly string[];
  readonly answer: TokenAnswer;
  readonly inactivityMs: number | undefined;
}

/** @throws oauth.suspended, oauth.removed (since the sign-in began) */
export async function requireUnchanged(store: Store, known: Mailbox | undefined, address: string): Promise<void> {
  const now = await store.mailboxes.find(address);
  if (now) requireOpen(now);
  else if (known) throw removed(address);
}

function removed(address: string): Error {
  return oauthError('oauth.removed', `${address} was removed during the sign-in`, {
    hint: `to open it again: postern mailbox add ${shellWord(address)}`,
  });
}

/** A new consent is newer than anything a renewal may be writing: it wins, unless the grant was closed on purpose meanwhile. */
export async function storeGrant(deps: ConnectDeps, existing: Grant | undefined, given: NewTokens): Promise<Grant> {
  const now = deps.clock.now();
  const id = existing?.id ?? newId('grant');
  const { answer, inactivityMs, ...facts } = given;
  const tokens = tokensOf(answer, undefined, now);
  const change = {
    ...facts,
    state: { type: 'active', since: now, accessExpiresAt: tokens.expiresAt } as const,
    tokens: await sealTokens(deps.vault, id, tokens),
    ...afterConsent(id, answer, inactivityMs, now),
  };
  if (!existing) {
    const grant: Grant = { ...change, id, generation: 1, createdAt: now };
    await deps.store.grants.insert(grant);
    return grant;
  }
  for (let current: Grant | undefined = existing; current; current = await deps.store.grants.find(id)) {
    if (current.state.type === 'suspended')
      throw oauthError('oauth.suspended', `this grant was suspended during the sign-in: ${current.state.reason}`);
    if ((await deps.store.grants.update(id, current.generation, change)) !== 'written') continue;
    if (current.state.type !== 'active' && deps.emit) {
      await deps.emit({
        type: 'grant.changed',
        grantId: id,
        from: current.state.type,
        to: 'active',
        reason: 'new consent',
      });
    }
    return { ...current, ...change, generation: current.generation + 1 };
  }
  throw oauthError('oauth.needs-consent', 'the grant was removed during the sign-in');
}

export async function storeMailbox(
  deps: ConnectDeps,
  request: Pick<ConnectRequest, 'address' | 'protocols'>,
  grant: Grant,
  access: Mailbox['access'],
  known?: Mailbox,
): Promise<Mailbox> {
  const { store } = deps;
  const protocols = [...new Set(request.protocols)];
  const before = await store.mailboxes.find(request.address);
  if (!before && known) throw removed(request.address);
  if (!before) {
    const mailbox: Mailbox = {
      address: request.address,
      grantId: grant.id,
      access,
      protocols,
      settings: {},
      createdAt: deps.clock.now(),
    };
    await store.mailboxes.insert(mailbox);
    return mailbox;
  }
  await store.mailboxes.update(request.address, { grantId: grant.id, access, protocols });
  if (before.grantId !== grant.id && (await store.mailboxes.byGrant(before.grantId)).length === 0) {
    await store.grants.remove(before.grantId);
  }
  return { ...before, grantId: grant.id, access, protocols };
}
