/** What keeps a relayed session when its server goes away, by protocol. */
import type { KeeperOptions, SessionKeeper } from './session-keeper.ts';
import type { SignIn } from '../../access/types.ts';
import type { Protocol } from '../../store/protocols.ts';
import { upstreamError } from '../../upstream/errors.ts';
import type { Upstream } from '../../upstream/upstream.ts';
import { Continuity } from './continuity.ts';
import { Pop3Keeper } from './pop3.ts';
import { SmtpKeeper } from './smtp.ts';

/** Signs in again as the mailbox is set up by then. @throws as `Upstream.signIn`, and gateway.misconfigured when it is removed */
export function signInAgain(
  upstream: Upstream,
  signIn: Pick<SignIn, 'mailbox'>,
  address: string,
  protocol: Protocol,
): KeeperOptions['signIn'] {
  return async (after, signal) => {
    const current = await signIn.mailbox(address);
    if (current?.protocols.includes(protocol) !== true)
      throw upstreamError('gateway.misconfigured', `${address} is not set up for ${protocol} any more`);
    return after === undefined
      ? upstream.signIn(current, protocol, signal)
      : upstream.signInAgain(current, protocol, after, signal);
  };
}

export function keeperFor(protocol: Protocol, options: KeeperOptions): SessionKeeper {
  if (protocol === 'imap') return new Continuity(options);
  return protocol === 'smtp' ? new SmtpKeeper(options) : new Pop3Keeper(options.signedIn.capabilities);
}
