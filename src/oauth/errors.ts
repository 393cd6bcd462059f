/** What can go wrong between us and a provider, as a closed table. Only the account's owner or a revoked grant is `denied`. */
import { errorTable } from '../base/error.ts';

export const oauthError = errorTable({
  denied: {
    'oauth.needs-consent': 'sign in again for this mailbox: postern mailbox reconsent ADDRESS',
    'oauth.answer-lost': 'sign in again for this mailbox: postern mailbox reconsent ADDRESS',
    'oauth.suspended':
      'it was closed on purpose; whoever runs this gateway opens it again: postern mailbox resume ADDRESS',
    'oauth.removed': 'whoever runs this gateway removed the mailbox; ask there',
    'oauth.superseded':
      'nothing was stored; look at how the mailbox is set up now: postern mailbox show ADDRESS; then sign in again if it needs that',
    'oauth.consent-declined': 'start again and accept the permissions on the consent page',
    'oauth.consent-expired': 'the sign-in took too long; start again and finish it in time',
    'oauth.admin-consent': 'an administrator of the organisation has to consent to this application first',
    'oauth.wrong-identity':
      'sign in with the account of the mailbox, or declare the mailbox as shared with the account that signs in',
    'oauth.scope-missing':
      'consent again and grant every permission that is asked for; the registration must allow them',
    'oauth.role-missing':
      'give the application the application permissions IMAP.AccessAsApp / POP.AccessAsApp and grant admin consent',
    'oauth.redirect-mismatch': 'the answer does not belong to this sign-in; start again and use only the newest page',
  },
  misuse: {
    'oauth.suspension': 'see which mailboxes are suspended: postern mailbox list',
    'oauth.misconfigured': 'check client id, tenant and credential of the application: postern application show NAME',
    'oauth.wrong-audience':
      'the token is for another service; ask for the mail scopes by their full URL (https://outlook.office.com/…)',
    'oauth.flow-refused': 'use authorization-code, device-code or an app-only flow',
    'oauth.flow-unavailable': 'choose another flow for this provider',
    'oauth.not-granted':
      'add the protocol to the mailbox: postern mailbox reconsent ADDRESS --protocols imap,pop3,smtp',
    'oauth.unknown-provider': 'postern application list shows the known providers; oidc is for any other',
    'oauth.redirect-invalid':
      'paste the complete address the browser showed last; it starts with the redirect address and contains code= and state=',
    'oauth.port-taken': 'choose another port for the redirect, or 0 for any free one',
    'oauth.catalogue-older': 'nothing to do: a newer edition is in use already',
  },
  later: {
    'oauth.provider-unreachable': 'check the network and the proxy; Postern tries again by itself',
    'oauth.provider-busy': 'the provider asked us to wait; Postern tries again by itself',
  },
  garbled: {
    'oauth.provider-garbled':
      'the provider answered something that is not OAuth 2.0; check the authority or issuer of the application',
    'oauth.id-token-invalid':
      'the provider’s identity token could not be verified; check issuer, client id and the clock of this machine',
    'oauth.catalogue-unreadable': 'the file is not a signed edition of the catalogue, or cut: fetch it again',
  },
  refused: {
    'oauth.catalogue-untrusted':
      'take the file from the project itself, or add its publisher’s key to data.publishers in postern.yaml if you trust it',
  },
});
