/** Where a mailbox's provider speaks a protocol, and as whom to sign in there. */
import { shellWord } from '../base/shell.ts';
import type { Grant, Mailbox } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import { oauthError } from './errors.ts';
import type { ProviderProfile } from './provider.ts';
import type { MailEndpoint } from './types.ts';

/** With another authority the preset's own servers are not meant: a token of the one is nothing for the other. */
export function noServer({ authorizationServer, foreign, preset }: ProviderProfile, protocol: Protocol): string {
  return foreign
    ? `no ${protocol} server is named for ${authorizationServer}, which is not ${preset.name}’s authority`
    : `no ${protocol} server is known for ${preset.name}`;
}

/**
 * The SASL user is the mailbox, also for a shared one: that is how Exchange knows which mailbox to open. A mailbox whose
 * settings say `{ smtpUser: 'delegate' }` (or imapUser, pop3User) signs in as the grant's identity instead.
 * @throws oauth.misconfigured (no server known)
 */
export function endpointOf(profile: ProviderProfile, grant: Grant, mailbox: Mailbox, protocol: Protocol): MailEndpoint {
  const server = profile.mail[protocol];
  if (!server) {
    throw oauthError('oauth.misconfigured', noServer(profile, protocol), {
      hint: `name it: postern application set NAME --${shellWord(protocol)} HOST:PORT/implicit`,
    });
  }
  const asDelegate = mailbox.settings[`${protocol}User`] === 'delegate';
  return {
    protocol,
    host: server.host,
    port: server.port,
    tls: server.tls,
    user: asDelegate ? grant.identity : mailbox.address,
    mechanisms: profile.mechanisms,
    trust: server.trust,
  };
}
