/** Puts imported accounts into the store: applications, grants that wait or can renew at once, mailboxes. */
import { newId } from '../../store/id.ts';
import type { Application, Grant, Mailbox } from '../../store/types.ts';
import { Secret } from '../../base/secret.ts';
import { isAppOnly } from '../../oauth/flows.ts';
import { sealTokens } from '../../oauth/grant-tokens.ts';
import type { ConnectDeps } from '../connect-request.ts';
import type { ImportedAccount } from './emailproxy.ts';

/**
 * Stores grant and mailbox. With a refresh token the grant renews with its next use, as if its last access token had just
 * run out; without one it waits for a consent.
 * @throws store.*
 */
export async function adoptAccount(
  deps: Pick<ConnectDeps, 'store' | 'vault' | 'clock'>,
  application: Application,
  account: Pick<ImportedAccount, 'address' | 'sharedWith' | 'flow' | 'protocols' | 'scopes'>,
  refreshToken?: Secret,
): Promise<{ readonly grant: Grant; readonly mailbox: Mailbox }> {
  const { store, clock } = deps;
  const appOnly = isAppOnly(account.flow);
  const identity =
    appOnly && account.flow !== 'service-account' ? application.clientId : (account.sharedWith ?? account.address);
  const same = (await store.grants.list()).find(
    (one) => one.applicationId === application.id && one.identity === identity && isAppOnly(one.flow) === appOnly,
  );
  const grant = same ?? (await newGrant(deps, application, account, identity, refreshToken));
  const mailbox: Mailbox = {
    address: account.address,
    grantId: grant.id,
    access: appOnly ? 'app-only' : account.sharedWith === undefined ? 'own' : 'shared',
    protocols: account.protocols,
    settings: {},
    createdAt: clock.now(),
  };
  await store.mailboxes.insert(mailbox);
  return { grant, mailbox };
}

async function newGrant(
  { store, vault, clock }: Pick<ConnectDeps, 'store' | 'vault' | 'clock'>,
  application: Application,
  { flow, scopes }: Pick<ImportedAccount, 'flow' | 'scopes'>,
  identity: string,
  refreshToken: Secret | undefined,
): Promise<Grant> {
  const now = clock.now();
  const id = newId('grant');
  const waiting = { state: { type: 'pending', since: now } as const, tokens: undefined };
  const grant: Grant = {
    id,
    applicationId: application.id,
    flow,
    identity,
    subject: undefined,
    scopes,
    generation: 1,
    createdAt: now,
    ...(refreshToken === undefined
      ? waiting
      : {
          state: { type: 'active', since: now, accessExpiresAt: now } as const,
          tokens: await sealTokens(vault, id, {
            accessToken: new Secret(''),
            refreshToken,
            obtainedAt: now,
            expiresAt: now,
            scopes,
          }),
          renewAt: now,
          renewal: { consentedAt: now, renewedAt: now },
        }),
  };
  await store.grants.insert(grant);
  return grant;
}
