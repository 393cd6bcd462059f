/** The token of a mailbox: to be had, renewable, and good for what it is needed for. */
import { shellWord } from '../base/shell.ts';
import { checkAccessToken, describeAccessToken } from '../oauth/access-token.ts';
import { isAppOnly } from '../oauth/flows.ts';
import type { Facts } from '../oauth/catalogue/diagnose.ts';
import type { ProviderProfile } from '../oauth/provider.ts';
import { compareScopes, mailScopes } from '../oauth/scopes.ts';
import type { AccessToken } from '../oauth/types.ts';
import { rowOf } from '../store/table/mailboxes.ts';
import type { Grant, Mailbox } from '../store/types.ts';
import { type Found, operatorWarning } from './step.ts';
import type { CheckDeps, CheckOptions } from './types.ts';
import { timeLimit } from '../protocol/wire/time-limit.ts';

const TIMEOUT_MS = 45_000;

/**
 * A token as the gateway would use it; `fresh` asks the provider for a new one even when the old one is still good, because
 * only that shows whether the consent still holds.
 * @throws oauth.*, vault.*, store.*
 */
export async function obtainToken(
  { tokens, clock }: CheckDeps,
  mailbox: Mailbox,
  fresh: boolean,
  { signal, timeoutMs = TIMEOUT_MS }: CheckOptions,
): Promise<{ readonly token: AccessToken; readonly found: Found }> {
  const protocol = mailbox.protocols[0]!;
  using limit = timeLimit(`the authority of ${mailbox.address}`, timeoutMs, signal);
  const stop = limit.signal;
  const startedAt = clock.now();
  const token = await (fresh
    ? tokens.renewedToken(mailbox, protocol, stop)
    : tokens.accessToken(mailbox, protocol, stop));
  const minutes = Math.round((token.expiresAt - clock.now()) / 60_000);
  return {
    token,
    found: {
      says: `${fresh ? `renewed in ${clock.now() - startedAt} ms` : 'the current one'}, good for ${minutes} minutes`,
      facts: { expiresAt: new Date(token.expiresAt).toISOString(), renewed: fresh },
    },
  };
}

/** What the token says of itself. @throws oauth.wrong-audience, oauth.role-missing, oauth.scope-missing */
export function judgeToken(token: AccessToken, profile: ProviderProfile, grant: Grant, mailbox: Mailbox): Found {
  const appOnly = isAppOnly(grant.flow);
  checkAccessToken(token.value, profile, { protocols: mailbox.protocols, appOnly });
  const claims = describeAccessToken(token.value);
  const facts = claims
    ? { audience: claims.audience, scopes: claims.scopes, roles: claims.roles, tenant: claims.tenant ?? null }
    : { scopes: token.scopes };
  const extra = appOnly ? [] : compareScopes(mailScopes(profile, mailbox.protocols), token.scopes).extra;
  const says = claims
    ? `for ${claims.audience.join(', ')}: ${[...claims.scopes, ...claims.roles].join(', ') || 'no permission named'}`
    : `opaque; granted ${token.scopes.join(', ') || 'nothing named'}`;
  if (extra.length === 0) return { says, facts };
  return {
    says,
    facts: { ...facts, extra },
    warning: operatorWarning('token.broader', `the token can do more than this mailbox needs: ${extra.join(', ')}`, {
      do: 'take the permission out of the registration if nothing else needs it, then consent again',
      run: `postern mailbox reconsent ${shellWord(rowOf(mailbox))}`,
    }),
  };
}

/** What only a token of an application tells, for remedies: administrators grant rights to its service principal. */
export function factsOfToken(token: AccessToken, { access }: Mailbox): Facts {
  const objectId = access === 'app-only' ? describeAccessToken(token.value)?.objectId : undefined;
  // It becomes a word of a command.
  return objectId !== undefined && /^[\da-f-]{36}$/i.test(objectId) ? { servicePrincipal: objectId } : {};
}
