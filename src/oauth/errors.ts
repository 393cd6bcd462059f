/** What can go wrong between us and a provider, as a closed table. Only the account's owner or a revoked grant is `denied`. */
import { errorTable } from '../base/error.ts';

export const oauthError = errorTable({
  'oauth.needs-consent': {
    kind: 'denied',
    hint: 'sign in again for this mailbox: postern mailbox reconsent ADDRESS',
  },
  'oauth.answer-lost': {
    kind: 'denied',
    hint: 'sign in again for this mailbox: postern mailbox reconsent ADDRESS',
  },
  'oauth.suspended': {
    kind: 'denied',
    hint: 'it was closed on purpose; whoever runs this gateway opens it again: postern mailbox resume ADDRESS',
  },
  'oauth.removed': { kind: 'denied', hint: 'whoever runs this gateway removed the mailbox; ask there' },
  'oauth.suspension': { kind: 'misuse', hint: 'see which mailboxes are suspended: postern mailbox list' },
  'oauth.consent-declined': { kind: 'denied', hint: 'start again and accept the permissions on the consent page' },
  'oauth.consent-expired': { kind: 'denied', hint: 'the sign-in took too long; start again and finish it in time' },
  'oauth.admin-consent': {
    kind: 'denied',
    hint: 'an administrator of the organisation has to consent to this application first',
  },
  'oauth.wrong-identity': {
    kind: 'denied',
    hint: 'sign in with the account of the mailbox, or declare the mailbox as shared with the account that signs in',
  },
  'oauth.scope-missing': {
    kind: 'denied',
    hint: 'consent again and grant every permission that is asked for; the registration must allow them',
  },
  'oauth.role-missing': {
    kind: 'denied',
    hint: 'give the application the application permissions IMAP.AccessAsApp / POP.AccessAsApp and grant admin consent',
  },
  'oauth.provider-unreachable': {
    kind: 'later',
    hint: 'check the network and the proxy; Postern tries again by itself',
  },
  'oauth.provider-busy': { kind: 'later', hint: 'the provider asked us to wait; Postern tries again by itself' },
  'oauth.provider-garbled': {
    kind: 'garbled',
    hint: 'the provider answered something that is not OAuth 2.0; check the authority or issuer of the application',
  },
  'oauth.misconfigured': {
    kind: 'misuse',
    hint: 'check client id, tenant and credential of the application: postern application show NAME',
  },
  'oauth.wrong-audience': {
    kind: 'misuse',
    hint: 'the token is for another service; ask for the mail scopes by their full URL (https://outlook.office.com/…)',
  },
  'oauth.flow-refused': { kind: 'misuse', hint: 'use authorization-code, device-code or an app-only flow' },
  'oauth.flow-unavailable': { kind: 'misuse', hint: 'choose another flow for this provider' },
  'oauth.not-granted': {
    kind: 'misuse',
    hint: 'add the protocol to the mailbox: postern mailbox reconsent ADDRESS --protocols imap,pop3,smtp',
  },
  'oauth.unknown-provider': {
    kind: 'misuse',
    hint: 'postern application list shows the known providers; oidc is for any other',
  },
  'oauth.redirect-invalid': {
    kind: 'misuse',
    hint: 'paste the complete address the browser showed last; it starts with the redirect address and contains code= and state=',
  },
  'oauth.redirect-mismatch': {
    kind: 'denied',
    hint: 'the answer does not belong to this sign-in; start again and use only the newest page',
  },
  'oauth.port-taken': { kind: 'misuse', hint: 'choose another port for the redirect, or 0 for any free one' },
  'oauth.id-token-invalid': {
    kind: 'garbled',
    hint: 'the provider’s identity token could not be verified; check issuer, client id and the clock of this machine',
  },
  'oauth.catalogue-unreadable': {
    kind: 'garbled',
    hint: 'the file is not a signed edition of the catalogue, or cut: fetch it again',
  },
  'oauth.catalogue-untrusted': {
    kind: 'refused',
    hint: 'take the file from the project itself, or add its publisher’s key to data.publishers in postern.yaml if you trust it',
  },
  'oauth.catalogue-older': {
    kind: 'misuse',
    hint: 'nothing to do: a newer edition is in use already',
  },
});
