/**
 * Storing what a consent gave: the grant and its mailbox. A sign-in takes minutes, and what was decided meanwhile counts: whether the
 * mailbox was closed, removed, opened or set up otherwise, and whether the application is still the one that was consented to.
 */
import { shellWord } from '../base/shell.ts';
import { newId } from '../store/id.ts';
import type { Flow, Grant, Mailbox } from '../store/types.ts';
import { isOtherClient } from './change-application.ts';
import type { ConnectDeps, ConnectRequest } from './connect-request.ts';
import { invitationNow } from './consent-link.ts';
import type { TokenAnswer } from '../oauth/engine.ts';
import { oauthError } from '../oauth/errors.ts';
import { sealTokens, tokensOf } from '../oauth/grant-tokens.ts';
import { afterConsent } from '../oauth/renewal-record.ts';
import { requireOpen } from '../oauth/suspension.ts';

interface NewTokens {
  readonly applicationId: string;
  readonly flow: Flow;
  readonly identity: string;
  readonly subject: string | undefined;
  readonly scopes: readonly string[];
  readonly answer: TokenAnswer;
  readonly inactivityMs: number | undefined;
}

/** What a sign-in for a mailbox goes by. */
export interface Standing {
  readonly mailbox: Mailbox | undefined;
  readonly invitation: string;
}

/** @throws oauth.suspended */
export async function standingOf({ store }: Pick<ConnectDeps, 'store'>, address: string): Promise<Standing> {
  const invitation = await invitationNow({ store }, address);
  const mailbox = await store.mailboxes.find(address);
  if (mailbox) requireOpen(mailbox);
  return { mailbox, invitation };
}

/** @throws oauth.suspended, oauth.removed, oauth.superseded, and what the request's own `confirm` throws */
export async function requireUnchanged(
  deps: Pick<ConnectDeps, 'store'>,
  { address, application, confirm }: ConnectRequest,
  begun: Standing,
): Promise<void> {
  const { mailbox, invitation } = await standingOf(deps, address);
  if (begun.mailbox && !mailbox) throw removed(address);
  if (begun.invitation !== invitation && !mailbox) throw replaced(address);
  if (setUp(begun.mailbox) !== setUp(mailbox) || begun.invitation !== invitation)
    throw superseded(address, `${address} was opened or set up otherwise during the sign-in`);
  const now = await deps.store.applications.find(application.id);
  if (!now || isOtherClient(application, now))
    throw superseded(address, `the application ${application.name} was changed or removed during the sign-in`);
  await confirm?.();
}

/** What a consent decides of a mailbox; its settings are decided elsewhere. */
const setUp = (mailbox: Mailbox | undefined): string =>
  JSON.stringify(mailbox && [mailbox.createdAt, mailbox.grantId, mailbox.access, mailbox.protocols]);

export function superseded(address: string, why: string): Error {
  return oauthError('oauth.superseded', why, {
    hint: `nothing was stored; look at how the mailbox is set up now: postern mailbox show ${shellWord(address)}; then sign in again if it needs that`,
  });
}

const replaced = (address: string): Error =>
  oauthError('oauth.superseded', `${address} was removed, or a newer link for it was made, during the sign-in`, {
    hint: `nothing was stored; use the newer link, or open it again: postern mailbox add ${shellWord(address)}`,
  });

function removed(address: string): Error {
  return oauthError('oauth.removed', `${address} was removed during the sign-in`, {
    hint: `to open it again: postern mailbox add ${shellWord(address)}`,
  });
}

/** A new consent is newer than anything a renewal may be writing: it wins, unless the grant was closed on purpose meanwhile. */
async function storeGrant(deps: ConnectDeps, existing: Grant | undefined, given: NewTokens): Promise<Grant> {
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

/** The grant, and the mailbox that it opens. @throws oauth.removed, oauth.suspended, oauth.superseded, oauth.needs-consent */
export async function storeConsent(
  deps: ConnectDeps,
  request: Pick<ConnectRequest, 'address' | 'protocols'>,
  consent: {
    readonly existing: Grant | undefined;
    readonly tokens: NewTokens;
    readonly access: Mailbox['access'];
    readonly begun: Standing;
  },
): Promise<{ readonly grant: Grant; readonly mailbox: Mailbox }> {
  const grant = await storeGrant(deps, consent.existing, consent.tokens);
  try {
    return { grant, mailbox: await storeMailbox(deps, request, grant, consent.access, consent.begun) };
  } catch (error) {
    // Made for a mailbox that is not to be: nobody would ever use it, or take it back.
    if (!consent.existing && (await deps.store.mailboxes.byGrant(grant.id)).length === 0)
      await deps.store.grants.remove(grant.id);
    throw error;
  }
}

async function storeMailbox(
  deps: ConnectDeps,
  request: Pick<ConnectRequest, 'address' | 'protocols'>,
  grant: Grant,
  access: Mailbox['access'],
  begun: Standing,
): Promise<Mailbox> {
  const { store } = deps;
  const protocols = [...new Set(request.protocols)];
  const before = await store.mailboxes.find(request.address);
  if (!before && begun.mailbox) throw removed(request.address);
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
    // Whoever removed it, or made a newer link, in this very moment has said so before.
    if ((await invitationNow(deps, request.address)) === begun.invitation) return mailbox;
    await store.mailboxes.remove(request.address);
    throw replaced(request.address);
  }
  await store.mailboxes.update(request.address, { grantId: grant.id, access, protocols });
  if (before.grantId !== grant.id && (await store.mailboxes.byGrant(before.grantId)).length === 0) {
    await store.grants.remove(before.grantId);
  }
  return { ...before, grantId: grant.id, access, protocols };
}
