/** The way out by Microsoft Graph: whether the grant may send there. Nothing is sent. */
import { describeAccessToken } from '../oauth/access-token.ts';
import { isAppOnly } from '../oauth/flows.ts';
import type { GraphAccesses } from '../oauth/graph-access.ts';
import type { Grant, Mailbox } from '../store/types.ts';
import { checkError } from './errors.ts';
import type { Found } from './step.ts';

/** Whether its owner said that mail of this mailbox leaves by Graph; where it is only the second choice nothing depends on it. */
export function leavesByGraph({ settings }: Pick<Mailbox, 'settings'>): boolean {
  return settings.routes?.includes('graph') === true;
}

/** Asks for a token for Graph and looks for Mail.Send in it. @throws check.graph-not-allowed, and what a token request may throw */
export async function checkGraph(
  accesses: Pick<GraphAccesses, 'of'>,
  grant: Pick<Grant, 'flow'>,
  mailbox: Mailbox,
): Promise<Found> {
  const { token, origin } = await accesses.of(mailbox);
  const claims = describeAccessToken(token.value);
  const allowed = claims ? [...claims.scopes, ...claims.roles] : token.scopes.map(lastWord);
  const facts = { origin, allowed };
  if (allowed.some((name) => name.toLowerCase() === 'mail.send'))
    return { says: `a token with Mail.Send for ${origin}`, facts };
  // An Exchange role assignment lets an application send without a word of it in the token.
  if (isAppOnly(grant.flow))
    return { says: `the token for ${origin} names no Mail.Send: Exchange’s own role assignments decide`, facts };
  throw checkError(
    'check.graph-not-allowed',
    `the consent for ${mailbox.address} does not cover Mail.Send, so Microsoft Graph sends nothing`,
    {
      detail: { missing: ['Mail.Send'], granted: allowed },
    },
  );
}

/** A permission without the resource it belongs to. */
const lastWord = (scope: string): string => scope.slice(scope.lastIndexOf('/') + 1);
